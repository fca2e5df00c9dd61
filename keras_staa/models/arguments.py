"""The arguments that all networks have, checked one by one and with each other."""

import types

import keras

from keras_staa import checks, serialized
from keras_staa.layers.staa import CAUSAL, with_step_gate
from keras_staa.models.argument import ABSENT, FIXED, FREE, RESHAPES, Argument

# Axes of an input that may be of any size.
SPACE = (-3, -2)


class Arguments(types.SimpleNamespace):
    """The arguments of a network, checked, as attributes: what its body reads."""

    @property
    def frames(self):
        """Whether the input has its own time axis."""
        return len(self.input_shape) == 4

    @property
    def aggregator(self):
        """The arguments of STAA, or None without attention."""
        if self.attention is False:
            return None
        given = self.attention if isinstance(self.attention, dict) else {}
        staa = {"bypass_rate": self.bypass_rate, "step_gate": True, **given}
        if self.causal:
            staa["step_gate"] = CAUSAL.get(staa["step_gate"], staa["step_gate"])
        return staa


def resolve(table, given, default_shape):
    """Return the arguments of a network, checked one by one and with each other.

    Args:
        table: tuple of `Argument`.
        given: dictionary of what the caller gave.
        default_shape: the input shape where neither it nor a tensor is given.

    Returns:
        `Arguments`.

    Raises:
        ValueError: for a value that is not allowed, or values that do not fit each other.
    """
    found = Arguments(**{a.name: a.check(a.name, given.get(a.name, a.default)) for a in table})
    found.input_shape = _input_shape(found, default_shape)
    if found.frames:
        found.steps = found.input_shape[0]
    if found.normalization and len(found.normalization) != found.input_shape[-1]:
        _refuse_normalization(found.normalization, f"each of the {found.input_shape[-1]} channels")
    return found


def _input_shape(found, default):
    """Return the shape of the input without its batch: as given, the tensor's, or the default."""
    shape = found.input_shape
    if found.input_tensor is not None:
        from_tensor = tuple(found.input_tensor.shape[1:])
        if shape is not None and shape != from_tensor:
            raise ValueError(
                f"`input_shape` must be that of `input_tensor`, {from_tensor}. "
                f"Received: input_shape={shape}"
            )
        shape = _shape("input_shape", from_tensor)
    shape = tuple(default) if shape is None else shape
    aggregator = found.aggregator
    position = None if aggregator is None else aggregator.get("position", "axial")
    if None in shape and position is not None:
        raise ValueError(
            "`input_shape` must have a height and a width, or `attention` must be "
            "{'position': None} or False: a position encoding needs sizes. Received: "
            f"input_shape={shape}, position={position!r}"
        )
    return shape


def _shape(name, value):
    if value is None:
        return None
    shape = tuple(value)
    known = [n for axis, n in enumerate(shape, -len(shape)) if n is not None or axis not in SPACE]
    if len(shape) not in (3, 4) or not all(checks.is_positive_int(n) for n in known):
        raise ValueError(
            f"`{name}` must be (height, width, channels) or (steps, height, width, channels), "
            "positive integers, or None for a height and width of any size. Received: "
            f"{name}={shape}"
        )
    return tuple(n if n is None else int(n) for n in shape)


def _attention(name, value):
    if not isinstance(value, bool | dict):
        raise ValueError(
            f"`{name}` must be True, False or a dictionary of arguments of STAA. "
            f"Received: {name}={value!r}"
        )
    return with_step_gate(value) if isinstance(value, dict) else value


def _neuron(name, value):
    if isinstance(value, str):
        return serialized.activation(name, value)
    value = serialized.make(name, value, registered=True)
    if value is not None and not isinstance(value, dict | keras.layers.Layer):
        raise ValueError(
            f"`{name}` must be None, a dictionary of arguments of LIF, a Keras layer or the name "
            "of an activation of Keras. "
            f"Received: {name}={value!r}"
        )
    return value


def _normalization(name, pairs):
    if pairs is None:
        return None
    pairs = tuple(tuple(float(v) for v in pair) for pair in pairs)
    if any(len(pair) != 2 or pair[1] <= 0 for pair in pairs):
        _refuse_normalization(pairs, "each channel")
    return pairs


def _refuse_normalization(pairs, whom):
    raise ValueError(
        "`normalization` must hold one pair (mean, positive deviation) for "
        f"{whom}. Received: normalization={pairs}"
    )


def _pooling(name, value):
    return checks.choice(name, value, (None, "steps", "avg", "max"))


def _bypass_rate(name, value):
    return checks.fraction(name, value, below_one=True)


def _anything(name, value):
    """For what is checked where it is used."""
    return value


def common(input_shape, width):
    """Return the arguments that all networks have.

    Args:
        input_shape: the network's default input shape.
        width: the network's default width.

    Returns:
        A tuple of `Argument`, in the order of the signature: that of `keras.applications` first.
    """
    return (
        Argument(
            name="include_top",
            default=True,
            text="whether to end in the dense read-out.",
            check=checks.boolean,
            in_presets=RESHAPES,
            keyword_only=False,
        ),
        Argument(
            name="weights",
            default=None,
            text="None for random weights; the name or folder of a preset, whose arguments then "
            "hold where none are given (other `steps`, `input_shape`, `classes` or no top take "
            "over the weights of all layers but a read-out of another size); or a `.weights.h5` "
            "file of the same arguments.",
            check=_anything,
            in_presets=ABSENT,
            keyword_only=False,
        ),
        Argument(
            name="input_tensor",
            default=None,
            text="Keras tensor to use as the input.",
            check=_anything,
            in_presets=ABSENT,
            keyword_only=False,
        ),
        Argument(
            name="input_shape",
            default=None,
            text="(H, W, C) for images, (T, H, W, C) for frames, which sets `steps`. With "
            '`attention=False` or `attention={"position": None}` H and W may be None, for any '
            f"size. Default: {tuple(input_shape)}.",
            check=_shape,
            in_presets=RESHAPES,
            keyword_only=False,
        ),
        Argument(
            name="pooling",
            default=None,
            text='without the top, None for features (B, T, h, w, channels); `"steps"` for '
            'their mean over time: (B, h, w, channels); `"avg"` or `"max"` over space, then the '
            "mean over time: (B, channels).",
            check=_pooling,
            in_presets=FREE,
            keyword_only=False,
        ),
        Argument(
            name="classes",
            default=10,
            text="number of classes.",
            check=checks.positive_int,
            in_presets=RESHAPES,
            keyword_only=False,
        ),
        Argument(
            name="classifier_activation",
            default="softmax",
            text="of the read-out; None for logits.",
            check=serialized.activation,
            in_presets=FREE,
            keyword_only=False,
        ),
        Argument(
            name="name",
            default=None,
            text="of the model.",
            check=_anything,
            in_presets=ABSENT,
            keyword_only=False,
        ),
        Argument(
            name="steps",
            default=4,
            text="number of time steps T for images.",
            check=checks.positive_int,
            in_presets=RESHAPES,
        ),
        Argument(
            name="width",
            default=width,
            text="channels of the first stage; every stage scales with it.",
            check=checks.positive_int,
            in_presets=FIXED,
        ),
        Argument(
            name="attention",
            default=True,
            text="whether the aggregator stands in front of the neurons of the stages, or a "
            "dictionary of arguments of `keras_staa.layers.STAA`; of a `seed` each layer makes "
            "its own.",
            check=_attention,
            in_presets=FIXED,
        ),
        Argument(
            name="neuron",
            default=None,
            text="None, a dictionary of arguments of `keras_staa.layers.LIF`, or a layer (or its "
            "serialized form) that stands for every neuron, copied from its configuration. The "
            'name of an activation of Keras, such as `"relu"`, makes a network without spikes. '
            "With the weights of a preset, a dictionary changes what it names, and another neuron "
            "stands in the place of the preset's, with its own start values.",
            check=_neuron,
            in_presets=RESHAPES,
        ),
        Argument(
            name="bypass_rate",
            default=0.1,
            text="of the time-step random dropout, in training only.",
            check=_bypass_rate,
            in_presets=FREE,
        ),
        Argument(
            name="causal",
            default=False,
            text="whether step attention looks back only, as `keras_staa.streaming` needs. With "
            "the weights of a preset of the other kind, what looks ahead has none: the accuracy "
            "can differ until the network is trained on.",
            check=checks.boolean,
            in_presets=RESHAPES,
        ),
        Argument(
            name="step_logits",
            default=False,
            text="return logits of each step (B, T, classes), as temporal losses need.",
            check=checks.boolean,
            in_presets=FREE,
        ),
        Argument(
            name="remat",
            default=False,
            text="whether training computes the inside of each block again in the backward pass "
            "instead of keeping it: less memory, more time, the same gradients.",
            check=checks.boolean,
            in_presets=ABSENT,
        ),
        Argument(
            name="normalization",
            default=None,
            text="one pair (mean, deviation) a channel, applied to the input inside the model.",
            check=_normalization,
            in_presets=FREE,
        ),
    )
