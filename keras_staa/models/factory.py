"""What the network factories share: one signature, one contract, the head, weights."""

import functools
import inspect

import keras
import numpy as np
from keras import layers

from keras_staa import checks
from keras_staa.images import described
from keras_staa.initializers import ONES, ZEROS, VarianceScaling
from keras_staa.layers import (
    LIF,
    STAA,
    STAALIF,
    BatchNormalization,
    Conv2D,
    MeanOverSteps,
    PerStep,
    RepeatSteps,
)
from keras_staa.layers.pooling import GlobalMaxPooling2D
from keras_staa.models import arguments as checked
from keras_staa.models import pretrained
from keras_staa.models.remat import RematerializedModel

DOCUMENTATION = """{title}

The call follows `keras.applications`; what is particular to spiking networks goes by keyword.
Inputs are images (B, H, W, C) scaled to [0, 1], shown at every time step, or frames
(B, T, H, W, C). The result is a functional `keras.Model`.

Args:
    include_top: whether to end in the dense read-out.
    weights: None for random weights; the name or folder of a preset, whose arguments then hold
        where none are given (other `steps`, `input_shape`, `classes` or no top take over the
        weights of all layers but a read-out of another size); or a `.weights.h5` file of the same
        arguments.
    input_tensor: Keras tensor to use as the input.
    input_shape: (H, W, C) for images, (T, H, W, C) for frames, which sets `steps`. With
        `attention=False` or `attention={{"position": None}}` H and W may be None, for any size.
        Default: {input_shape}.
    pooling: without the top, None for features (B, T, h, w, channels); `"steps"` for their mean
        over time: (B, h, w, channels); `"avg"` or `"max"` over space, then the mean over time:
        (B, channels).
    classes: number of classes.
    classifier_activation: of the read-out; None for logits.
    name: of the model.
    steps: number of time steps T for images.
    width: channels of the first stage; every stage scales with it.
    attention: whether the aggregator stands in front of the neurons of the stages, or a
        dictionary of arguments of `keras_staa.layers.STAA`; of a `seed` each layer makes its own.
    neuron: None, a dictionary of arguments of `keras_staa.layers.LIF`, or a layer (or its
        serialized form) that stands for every neuron, copied from its configuration.
    bypass_rate: of the time-step random dropout, in training only.
    causal: whether step attention looks back only.
    step_logits: return logits of each step (B, T, classes), as temporal losses need.
    remat: whether training computes the inside of each block again in the backward pass instead
        of keeping it: less memory, more time, the same gradients.
    normalization: one pair (mean, deviation) a channel, applied to the input inside the model.

Returns:
    A `keras.Model`.

Raises:
    ValueError: for an argument outside its range, or arguments that do not fit each other.

Source: {source}
"""


def factory(name, title, body, input_shape, width, source):
    """Make a network factory.

    Args:
        name: of the factory, in the manner of `"STAAResNet19"`.
        title: the first line of its documentation.
        body: function `(x, arguments) -> x` from the normalised input to the last spikes.
        input_shape: the default input shape.
        width: the default width.
        source: row of the paper.

    Returns:
        The factory function.
    """
    default_width, default_shape = width, input_shape

    def create(
        include_top=True,
        weights=None,
        input_tensor=None,
        input_shape=None,
        pooling=None,
        classes=10,
        classifier_activation="softmax",
        name=None,
        *,
        steps=4,
        width=default_width,
        attention=True,
        neuron=None,
        bypass_rate=0.1,
        causal=False,
        step_logits=False,
        remat=False,
        normalization=None,
    ):
        staa = checked.attention(attention, bypass_rate, causal)
        shape = checked.input_shape(input_shape, input_tensor, default_shape, staa)
        resolved = checked.Arguments(
            include_top=checks.boolean("include_top", include_top),
            input_tensor=input_tensor,
            input_shape=shape,
            pooling=checks.choice("pooling", pooling, (None, "steps", "avg", "max")),
            classes=checks.positive_int("classes", classes),
            classifier_activation=classifier_activation,
            name=name or create.__name__,
            steps=shape[0] if len(shape) == 4 else checks.positive_int("steps", steps),
            width=checks.positive_int("width", width),
            attention=staa,
            neuron=checked.neuron(neuron),
            step_logits=checks.boolean("step_logits", step_logits),
            remat=checks.boolean("remat", remat),
            normalization=checked.normalization(normalization, shape[-1]),
        )
        return _build(resolved, body), resolved

    create.__name__ = create.__qualname__ = name
    create.__doc__ = DOCUMENTATION.format(title=title, input_shape=input_shape, source=source)
    return _recorded(create)


def recorded_arguments(model):
    """The factory's name and the arguments that made a network, or None for any other model."""
    return getattr(model, _RECORD, None)


_RECORD = "_staa_factory"


def _recorded(create):
    """Let a preset's arguments stand where the caller gave none, and note what made a network."""
    signature = inspect.signature(create)
    defaults = {p.name: p.default for p in signature.parameters.values()}

    def build(**arguments):
        model, resolved = create(**arguments)
        # What the caller's tensors and arrays said, in a form that can be stored.
        found = {
            name: getattr(resolved, name) for name in ("input_shape", "steps", "normalization")
        }
        # Past the model's own bookkeeping, which would turn the dictionary into a tracked one.
        object.__setattr__(model, _RECORD, (create.__name__, {**defaults, **arguments, **found}))
        return model

    build.__name__ = create.__name__

    @functools.wraps(create)
    def call(*args, **kwargs):
        given = signature.bind(*args, **kwargs).arguments
        weights = given.get("weights")
        if weights is None:
            model = build(**given)
        else:
            model = pretrained.load(build, given, lambda arguments: {**defaults, **arguments})
        return described(model, recorded_arguments(model)[1], weights)

    return call


def convolution(
    x,
    filters,
    kernel,
    strides,
    name,
    per_step=True,
    initializer=None,
    pool=None,
    momentum=0.9,
):
    """Convolution without bias and batch normalisation: the current into a neuron.

    Args:
        x: Keras tensor.
        filters, kernel, strides, name: of the convolution.
        per_step: whether x has a time axis.
        initializer: of the kernel, of its own: an object draws the same each time it is asked.
        pool: None or a layer between the two.
        momentum: of the moving averages.
    """
    conv = Conv2D(
        filters,
        kernel,
        strides=strides,
        padding="same",
        use_bias=False,
        data_format="channels_last",
        kernel_initializer=initializer or VarianceScaling(2.0, "fan_out", "untruncated_normal"),
        name=f"{name}_conv",
    )
    norm = BatchNormalization(
        momentum=momentum,
        epsilon=1e-5,
        beta_initializer=ZEROS,
        gamma_initializer=ONES,
        moving_mean_initializer=ZEROS,
        moving_variance_initializer=ONES,
        name=f"{name}_bn",
    )
    x = each_step(conv, x, per_step)
    x = x if pool is None else each_step(pool, x, per_step)
    return each_step(norm, x, per_step)


def average_pool(x, name):
    """Mean of two by two places."""
    pool = layers.AveragePooling2D(2, padding="same", data_format="channels_last", name=name)
    return each_step(pool, x)


def each_step(layer, x, per_step=True):
    """Apply a layer to each step, or to images that have no steps yet."""
    return PerStep(layer, name=layer.name)(x) if per_step else layer(x)


def spikes(x, arguments, name, attention=True):
    """The neurons, with the aggregator in front of them where the network has it."""
    neuron, staa = arguments.neuron, arguments.attention
    staa = None if staa is None else seeded(staa, name)
    if isinstance(neuron, keras.layers.Layer):
        if attention and staa is not None:
            x = STAA(**staa, name=f"{name}_staa")(x)
        config = seeded({**neuron.get_config(), "name": f"{name}_neuron"}, name)
        return type(neuron).from_config(config)(x)
    learn = {"learn": staa is not None}
    if attention and staa is not None:
        return STAALIF(**staa, **{**learn, **neuron}, name=f"{name}_neuron")(x)
    return LIF(**{**learn, **neuron}, name=f"{name}_neuron")(x)


def seeded(arguments, name):
    """Arguments whose seed, where they have one, is a layer's own: equal draws would be one."""
    seed = arguments.get("seed")
    if not isinstance(seed, int):
        return arguments
    own = np.random.SeedSequence([seed, *name.encode()]).generate_state(1)[0]
    return {**arguments, "seed": int(own >> 1)}


def stem(x, filters, kernel, strides, arguments, name="stem"):
    """First convolution and neurons. The current of an image is computed once and repeated."""
    x = convolution(x, filters, kernel, strides, name, per_step=arguments.frames)
    return cut(spikes(spread(x, arguments), arguments, name, attention=False), arguments)


def spread(x, arguments):
    """Give the current of an image its time axis."""
    return x if arguments.frames else RepeatSteps(arguments.steps, name="repeat_steps")(x)


def cut(x, arguments):
    """Let what comes before a tensor be recomputed apart from what comes after it."""
    arguments.cuts.append(x._keras_history.operation.name)
    return x


def _build(arguments, body):
    inputs = arguments.input_tensor
    if inputs is None:
        inputs = keras.Input(arguments.input_shape, name="input")
    elif not keras.backend.is_keras_tensor(inputs):
        inputs = keras.Input(tensor=inputs, name="input")
    x = inputs
    if arguments.normalization:
        means, deviations = zip(*arguments.normalization, strict=True)
        x = layers.Normalization(
            mean=means, variance=[d * d for d in deviations], name="normalization"
        )(x)
    x = body(x, arguments)
    x = _head(x, arguments)
    if arguments.input_tensor is not None:
        inputs = keras.utils.get_source_inputs(arguments.input_tensor)
    if arguments.remat:
        return RematerializedModel(inputs, x, cuts=arguments.cuts, name=arguments.name)
    return keras.Model(inputs, x, name=arguments.name)


def _head(x, arguments):
    # The read-out is float32 under mixed precision: probabilities of bfloat16 have two digits.
    precise = {"dtype": keras.config.dtype_policy().variable_dtype}
    if arguments.include_top or arguments.pooling == "avg":
        x = each_step(layers.GlobalAveragePooling2D("channels_last", name="average_pool"), x)
    elif arguments.pooling == "max":
        x = each_step(GlobalMaxPooling2D("channels_last", name="max_pool"), x)
    if not arguments.include_top:
        return MeanOverSteps(name="mean_over_steps", **precise)(x) if arguments.pooling else x
    initializer = VarianceScaling(1.0, "fan_in", "untruncated_normal")
    x = layers.Dense(
        arguments.classes,
        kernel_initializer=initializer or VarianceScaling(2.0, "fan_out", "untruncated_normal"),
        bias_initializer=ZEROS,
        name="predictions",
        **precise,
    )(x)
    if arguments.step_logits:
        return x
    x = MeanOverSteps(name="mean_over_steps", **precise)(x)
    if arguments.classifier_activation is None:
        return x
    return layers.Activation(arguments.classifier_activation, name="probabilities", **precise)(x)
