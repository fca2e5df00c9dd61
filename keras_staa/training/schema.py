"""What a recipe may say: its sections, and the keys that belong to the tool itself.

Further keys of a section are arguments of what the section names, such as an optimizer of Keras:
`recipe` checks them against its signature.
"""

import pydantic
from pydantic import Field


class _Section(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow", strict=True, frozen=True)

    def arguments(self):
        """Return the keys beyond those of the section itself, as a dictionary."""
        return dict(self.model_extra)


class Data(_Section):
    """Where samples come from: arguments of `keras_staa.data.images` or `events`."""

    reader: str = Field("images", pattern="^(images|events)$")
    source: str
    train: str = "train"
    test: str | None = "test"
    validation: str | None = None
    test_size: int | list[int] | None = None


class Network(_Section):
    """A factory and its arguments. Input shape and classes follow from the data."""

    factory: str
    weights: str | None = None


class Named(_Section):
    """A class of Keras or of this library, and its arguments."""

    class_name: str


class Optimizer(Named):
    """An optimizer of Keras. `learning_rate` is the peak of the schedule."""

    learning_rate: float = Field(gt=0, allow_inf_nan=False)


class Teacher(pydantic.BaseModel):
    """A trained network to learn from."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True, frozen=True)

    model: str
    temperature: float = Field(3.0, gt=0, allow_inf_nan=False)
    weight: float = Field(0.9, ge=0, le=1)


class Training(pydantic.BaseModel):
    """The run itself."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True, frozen=True)

    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    policy: str = "float32"
    augment_in_step: bool = False
    jit_compile: bool = True
    seed: int = Field(1, ge=0)
    save_freq: int | None = Field(None, ge=1)
    recalibrate: int = Field(0, ge=0)


class Recipe(pydantic.BaseModel):
    """A training, described."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True, frozen=True)

    title: str
    source: str
    data: Data
    network: Network
    loss: Named
    optimizer: Optimizer
    schedule: Named | None = None
    training: Training
    teacher: Teacher | None = None
    stages: list[dict[str, dict]] | None = None
