"""Presets on disk: where they are, what they say, and whether their files are whole.

A preset is a folder with `preset.json`, `model.weights.h5`, `card.md` and `history.csv`. Those of
this library lie in the installed package, or in `zoo/` of a checkout.
"""

import functools
import hashlib
import json
import pathlib

DESCRIPTION, WEIGHTS, CARD, HISTORY = "preset.json", "model.weights.h5", "card.md", "history.csv"
ALIASES = "aliases.json"


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
        weights_dtype: str
        keras_version: str

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
    name = str(name_or_folder)
    canonical = aliases().get(name, name)
    if canonical in names():
        return root() / canonical
    folder = pathlib.Path(name_or_folder)
    if (folder / DESCRIPTION).is_file():
        return folder
    raise ValueError(
        f"A preset must be one of {names()}, an alias of {sorted(aliases())}, or a folder that "
        f"holds {DESCRIPTION}. Received: {name!r}"
    )


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
        return schema().model_validate_json(path.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(
            f"{path} must be the description of a preset as `keras_staa.zoo.save` writes it: "
            f"{_in_short(error)}. {_REPAIR}"
        ) from error


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
    if found != preset.sha256:
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
