"""Presets on disk: where they are, what they say, and whether their files are whole.

A preset is a folder with `preset.json`, `model.weights.h5`, `card.md` and `history.csv`. Those of
this library lie in the installed package, or in `zoo/` of a checkout.
"""

import functools
import hashlib
import json
import math
import os
import pathlib
import typing

DESCRIPTION, WEIGHTS, CARD, HISTORY = "preset.json", "model.weights.h5", "card.md", "history.csv"
ALIASES = "aliases.json"
# What a preset does not keep: where the network came from, the caller's tensors, and how training
# uses memory.
DROPPED = ("weights", "input_tensor", "name", "remat")
# Descriptions have a few thousand bytes; so many are read before a look at them.
LONGEST = 2**22


@functools.cache
def schema():
    """The pydantic model that `preset.json` must fit; made when a preset is first read."""
    import pydantic

    class Accuracy(pydantic.BaseModel, extra="forbid"):
        value: float = pydantic.Field(ge=0, le=1)
        split: str
        images: int = pydantic.Field(gt=0)
        measured: str

    class Preset(pydantic.BaseModel, extra="forbid"):
        format: int = pydantic.Field(ge=1, le=1)
        name: str
        architecture: str
        arguments: dict
        data_set: str
        classes: int = pydantic.Field(gt=0)
        class_names: list[str]
        steps: int = pydantic.Field(gt=0)
        parameters: int
        accuracy: Accuracy | None
        training: dict
        licence: str
        sha256: str = pydantic.Field(pattern="^[0-9a-f]{64}$")
        bytes: int
        weights_dtype: typing.Literal["float16", "float32"]
        keras_version: str

        @pydantic.model_validator(mode="after")
        def agree(self):
            """Refuse a description that says two things of one."""
            if dropped := sorted(set(self.arguments) & set(DROPPED)):
                raise ValueError(f"`arguments` must not hold {dropped}")
            shape = self.arguments.get("input_shape")
            sizes = list(shape) if isinstance(shape, list) else [0]
            # Height and width may be of any size.
            sizes[-3:-1] = [n for n in sizes[-3:-1] if n is not None]
            if shape is not None and not all(isinstance(n, int) and n > 0 for n in sizes):
                raise ValueError(f"`arguments.input_shape` must be sizes. Received: {shape!r}")
            frames = shape is not None and len(shape) == 4
            for name, said, value in (
                ("class_names", len(self.class_names), self.classes),
                ("arguments.classes", self.arguments.get("classes"), self.classes),
                ("arguments.steps", self.arguments.get("steps"), None if frames else self.steps),
                ("arguments.input_shape", shape[0] if frames else None, self.steps),
            ):
                if None not in (said, value) and said != value:
                    raise ValueError(f"`{name}` says {said}, but the preset {value}")
            return self

    return Preset


def root():
    """The folder of this library's own presets."""
    package = pathlib.Path(__file__).parent
    installed = package / "zoo" / "presets"
    return installed if installed.is_dir() else package.parent / "zoo"


def names():
    """Canonical names of this library's presets, sorted."""
    return sorted(path.parent.name for path in root().glob(f"*/{DESCRIPTION}"))


def aliases():
    """Short names and the canonical names they stand for at present."""
    path = root() / ALIASES
    return json.loads(path.read_text("utf-8")) if path.is_file() else {}


def find(name_or_folder):
    """The folder of a preset.

    Args:
        name_or_folder: canonical name, alias, or the path of a folder that `zoo.save` wrote.

    Returns:
        A `pathlib.Path`.

    Raises:
        ValueError: if there is no such preset.
    """
    if not isinstance(name_or_folder, (str, os.PathLike)):
        raise ValueError(
            "A preset must be given by its name or the path of its folder. "
            f"Received: {name_or_folder!r}"
        )
    folder = pathlib.Path(name_or_folder)
    is_folder = bool(os.fspath(name_or_folder)) and os.path.isfile(folder / DESCRIPTION)
    # A path is a path; only a string may be a name.
    name = name_or_folder if isinstance(name_or_folder, str) else None
    known = known_as(name)
    if known and is_folder and not folder.samefile(known):
        raise ValueError(
            f"{name!r} is the name of a preset of this library, {known}, and of a folder here, "
            f"{folder.resolve()}. Give the path of the one that you mean. Received: {name!r}"
        )
    if known or is_folder:
        return known or folder
    raise ValueError(
        f"A preset must be one of {names()}, an alias of {sorted(aliases())}, or a folder that "
        f"holds {DESCRIPTION}. Received: {str(name_or_folder)!r}"
    )


def known_as(name):
    """The folder of this library's preset of a name or alias, or None."""
    canonical = aliases().get(name, name)
    return root() / canonical if canonical in names() else None


def read(folder):
    """What `preset.json` says.

    Args:
        folder: path of a preset.

    Returns:
        An instance of `schema()`.

    Raises:
        ValueError: if the file does not fit the schema.
    """
    path = pathlib.Path(folder) / DESCRIPTION
    try:
        return schema().model_validate_json(_text(path), strict=True)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{path} must be the description of a preset as `keras_staa.zoo.save` writes it: "
            f"{_in_short(error)}. {_REPAIR}"
        ) from error


def _text(path):
    """The text of a JSON file in which every name stands once and every number is finite."""
    if path.stat().st_size > LONGEST:
        raise ValueError(f"it has more than {LONGEST} bytes")
    text = path.read_text("utf-8")
    json.loads(text, object_pairs_hook=_once, parse_constant=_finite, parse_float=_finite)
    return text


def _once(pairs):
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = sorted({key for key, _ in pairs if [k for k, _ in pairs].count(key) > 1})
        raise ValueError(f"{twice} stand there more than once")
    return found


def _finite(text):
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text} is no finite number")
    return number


def _in_short(error):
    """What pydantic found, field by field; its own text takes four lines each."""
    if not hasattr(error, "errors"):
        return error
    found = [(".".join(map(str, e["loc"])) or "file", e["msg"]) for e in error.errors()]
    return "; ".join(f"{place}: {message}" for place, message in found)


def weights(folder):
    """The weight file of a preset, after a check of its sha256.

    Args:
        folder: path of a preset.

    Returns:
        A `pathlib.Path`.

    Raises:
        FileNotFoundError: if the file is missing.
        ValueError: if the file is not the one that `preset.json` was written for.
    """
    path, preset = pathlib.Path(folder) / WEIGHTS, read(folder)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing: the weights of preset {preset.name!r}, {preset.bytes} bytes with "
            f"sha256 {preset.sha256}. {_REPAIR}"
        )
    size, found = path.stat().st_size, sha256(path)
    if found != preset.sha256 or size != preset.bytes:
        raise ValueError(
            f"{path} is damaged or was changed: expected {preset.bytes} bytes with sha256 "
            f"{preset.sha256}, found {size} bytes with sha256 {found}. {_REPAIR}"
        )
    return path


def sha256(path):
    """The sha256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


_REPAIR = (
    "Copy the folder again from where it came, or, if it belongs to the installed package, run "
    "`pip install --force-reinstall --no-deps keras-staa`."
)
