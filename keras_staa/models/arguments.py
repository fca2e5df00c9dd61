"""The arguments of the network factories: checked, and in the form the networks read."""

import dataclasses

import keras

from keras_staa import checks, serialized

# Axes of an input that may be of any size.
SPACE = (-3, -2)


@dataclasses.dataclass(frozen=True)
class Arguments:
    """The arguments of a factory, checked; the body of a network reads them."""

    include_top: bool
    input_tensor: object
    input_shape: tuple
    pooling: str | None
    classes: int
    classifier_activation: object
    name: str
    steps: int
    width: int
    attention: dict | None
    neuron: object
    step_logits: bool
    remat: bool
    normalization: tuple | None
    # Filled while the body is built: the names of the layers after which a block ends.
    cuts: list = dataclasses.field(default_factory=list)

    @property
    def frames(self):
        """Whether the input has its own time axis."""
        return len(self.input_shape) == 4


def input_shape(shape, tensor, default, staa=None):
    """The shape of the input without its batch: the one given, the tensor's, or the default.

    Height and width may be None where `staa`, what `attention` returned, encodes no positions.
    """
    if tensor is not None:
        from_tensor = tuple(tensor.shape[1:])
        if shape is not None and tuple(shape) != from_tensor:
            raise ValueError(
                f"`input_shape` must be that of `input_tensor`, {from_tensor}. "
                f"Received: input_shape={tuple(shape)}"
            )
        shape = from_tensor
    shape = tuple(default if shape is None else shape)
    known = [
        n for axis, n in enumerate(shape, start=-len(shape)) if n is not None or axis not in SPACE
    ]
    if len(shape) not in (3, 4) or not all(checks.is_positive_int(n) for n in known):
        raise ValueError(
            "`input_shape` must be (height, width, channels) or (steps, height, width, channels), "
            "positive integers, or None for a height and width of any size. Received: "
            f"input_shape={shape}"
        )
    shape = tuple(n if n is None else int(n) for n in shape)
    position = None if staa is None else staa.get("position", "axial")
    if None in shape and position is not None:
        raise ValueError(
            "`input_shape` must have a height and a width, or `attention` must be "
            "{'position': None} or False: an encoding of positions needs sizes. Received: "
            f"input_shape={shape}, position={position!r}"
        )
    return shape


def attention(value, bypass_rate, causal):
    """The arguments of STAA, or None without attention."""
    if value is False:
        return None
    if value is not True and not isinstance(value, dict):
        raise ValueError(
            "`attention` must be True, False or a dictionary of arguments of STAA. "
            f"Received: attention={value!r}"
        )
    staa = {"bypass_rate": checks.fraction("bypass_rate", bypass_rate, below_one=True)}
    if checks.boolean("causal", causal):
        staa["steps"] = "causal"
    return {**staa, **(value if isinstance(value, dict) else {})}


def neuron(value):
    """The arguments of LIF, or the layer that stands for every neuron."""
    if value is None:
        return {}
    value = serialized.make("neuron", value, registered=True)
    if not isinstance(value, dict | keras.layers.Layer):
        raise ValueError(
            "`neuron` must be None, a dictionary of arguments of LIF or a Keras layer. "
            f"Received: neuron={value!r}"
        )
    return value


def normalization(pairs, channels):
    """One pair (mean, deviation) a channel, or None."""
    if pairs is None:
        return None
    pairs = tuple(tuple(float(v) for v in pair) for pair in pairs)
    if len(pairs) != channels or any(len(p) != 2 or p[1] <= 0 for p in pairs):
        raise ValueError(
            f"`normalization` must hold one pair (mean, positive deviation) for each of the "
            f"{channels} channels. Received: normalization={pairs}"
        )
    return pairs
