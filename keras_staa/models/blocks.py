"""What the bodies of networks are built of."""

import keras
import numpy as np
from keras import layers

from keras_staa.initializers import ONES, ZEROS, VarianceScaling
from keras_staa.layers import LIF, STAA, STAALIF, BatchNormalization, Conv2D, PerStep, RepeatSteps


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
    padding="same",
    dtype=None,
):
    """Convolution without bias and batch normalization: the current into a neuron.

    Args:
        x: Keras tensor.
        filters, kernel, strides, name: of the convolution.
        per_step: whether x has a time axis.
        initializer: of the kernel, of its own: an object draws the same each time it is asked.
        pool: None or a layer between the two.
        momentum: of the moving averages.
        padding: `"same"`, as TensorFlow pads, or `"symmetric"`, as PyTorch does.
        dtype: of the convolution, Keras's policy by default.
    """
    x, padding = padded(x, kernel, strides, padding, name, per_step, dtype)
    conv = Conv2D(
        filters,
        kernel,
        strides=strides,
        padding=padding,
        use_bias=False,
        data_format="channels_last",
        kernel_initializer=initializer or VarianceScaling(2.0, "fan_out", "untruncated_normal"),
        dtype=dtype,
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


def precise():
    """Return the dtype of layers that compute in float32 under mixed precision.

    Those in front of the first neurons are among them: bfloat16 would round the colors of an image
    to fewer than they have.
    """
    return keras.config.dtype_policy().variable_dtype


def padded(x, kernel, strides, padding, name, per_step=True, dtype=None):
    """Pad both sides alike where `"same"` would not, and return x and the padding that is left."""
    if padding == "same" or strides == 1 or kernel == 1:
        return x, "same"
    layer = layers.ZeroPadding2D(
        kernel // 2, data_format="channels_last", dtype=dtype, name=f"{name}_pad"
    )
    return each_step(layer, x, per_step), "valid"


def average_pool(x, name):
    """Mean of two by two places."""
    pool = layers.AveragePooling2D(2, padding="same", data_format="channels_last", name=name)
    return each_step(pool, x)


def each_step(layer, x, per_step=True):
    """Apply a layer to each step, or to images that have no steps yet."""
    return PerStep(layer, name=layer.name)(x) if per_step else layer(x)


def spikes(x, arguments, name, attention=True):
    """Return the neurons, with the aggregator in front of them where the network has it."""
    neuron, staa = arguments.neuron or {}, arguments.aggregator
    staa = None if staa is None else seeded(staa, name)
    if isinstance(neuron, keras.layers.Layer | str):
        if attention and staa is not None:
            x = STAA(**staa, name=f"{name}_staa")(x)
        if isinstance(neuron, str):
            return keras.layers.Activation(neuron, name=f"{name}_neuron")(x)
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
    padding = getattr(arguments, "padding", "same")
    x = convolution(
        x, filters, kernel, strides, name, arguments.frames, padding=padding, dtype=precise()
    )
    return spikes(spread(x, arguments), arguments, name, attention=False)


def spread(x, arguments):
    """Give the current of an image its time axis."""
    return x if arguments.frames else RepeatSteps(arguments.steps, name="repeat_steps")(x)
