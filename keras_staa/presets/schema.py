"""What `preset.json` may say."""

import functools
import json
import math
import typing

from keras_staa.presets.parts import DESCRIPTION, LONGEST


@functools.cache
def description_class():
    """Return the pydantic model that `preset.json` must fit; made when a preset is first read."""
    import pydantic

    class Accuracy(pydantic.BaseModel, extra="forbid"):
        value: float = pydantic.Field(ge=0, le=1)
        split: str
        images: int = pydantic.Field(gt=0)
        measured: str

    class Preset(pydantic.BaseModel, extra="forbid"):
        # What the arguments mean: see `keras_staa.models.format`.
        format: int = pydantic.Field(ge=1, le=2)
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
            """Refuse a description that contradicts itself."""
            shape = self.arguments.get("input_shape")
            sizes = list(shape) if isinstance(shape, list) else [0]
            # Height and width may be of any size.
            sizes[-3:-1] = [n for n in sizes[-3:-1] if n is not None]
            if shape is not None and not all(isinstance(n, int) and n > 0 for n in sizes):
                raise ValueError(
                    f"`arguments.input_shape` must hold positive integers. Received: {shape!r}"
                )
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


def parse(path):
    """Return what a `preset.json` says.

    Args:
        path: `pathlib.Path` of the file.

    Returns:
        An instance of `description_class()`.

    Raises:
        ValueError: if the file does not fit the schema.
    """
    try:
        return description_class().model_validate_json(_text(path), strict=True)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{path} must be the description of a preset as `keras_staa.zoo.save` writes it: "
            f"{_in_short(error)}. {REPAIR}"
        ) from error


def _text(path):
    """Return the text of a JSON file in which every name stands once and every number is finite."""
    if path.stat().st_size > LONGEST[DESCRIPTION]:
        raise ValueError(f"it has more than {LONGEST[DESCRIPTION]} bytes")
    text = path.read_text("utf-8")
    json.loads(text, object_pairs_hook=_once, parse_constant=_finite, parse_float=_finite)
    return text


def _once(pairs):
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = sorted({key for key, _ in pairs if [k for k, _ in pairs].count(key) > 1})
        raise ValueError(f"{twice} are given more than once")
    return found


def _finite(text):
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text} is not a finite number")
    return number


def _in_short(error):
    """Return what pydantic found, field by field; its own text takes four lines each."""
    if not hasattr(error, "errors"):
        return error
    found = [(".".join(map(str, e["loc"])) or "file", e["msg"]) for e in error.errors()]
    return "; ".join(f"{place}: {message}" for place, message in found)


REPAIR = (
    "Copy the folder again from where it came, or, if it belongs to the installed package, run "
    "`pip install --force-reinstall --no-deps keras-staa`."
)
