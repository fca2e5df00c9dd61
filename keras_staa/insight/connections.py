"""How many outputs of a layer each of its inputs reaches, and what a dense pass multiplies."""

import math

import keras
import numpy as np

from keras_staa.insight import watching

_CONVOLUTIONS = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)
_DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)


def is_counted(layer):
    """Whether the operations of a layer with weights are counted."""
    return isinstance(layer, (*_CONVOLUTIONS, *_DEPTHWISE, keras.layers.Dense))


def fan_out(layer, size):
    """Return how many products an input value of a layer is part of, by its place.

    Outputs beyond the edge do not exist, and padding is not multiplied.

    Args:
        layer: a convolution or `keras.layers.Dense`.
        size: tuple of integers, the axes of the input between batch and channels.

    Returns:
        Array of int64, of the shape `size`. It is the same for each channel.

    Raises:
        ValueError: for another layer.

    Example:

    >>> layer = keras.layers.Conv1D(4, 3, padding="same")
    >>> layer.build((None, 5, 2))
    >>> [int(n) for n in fan_out(layer, (5,))]
    [8, 12, 12, 12, 8]
    """
    if isinstance(layer, keras.layers.Dense):
        return np.full(size, layer.units, np.int64)
    if not isinstance(layer, (*_CONVOLUTIONS, *_DEPTHWISE)):
        raise ValueError(f"`layer` must be a convolution or Dense. Received: layer={layer!r}")
    if isinstance(layer, _DEPTHWISE):
        filters = layer.depth_multiplier
    else:
        filters = layer.filters // layer.groups
    found = np.full((), filters, np.int64)
    for axis, places in enumerate(size):
        extent, stride, dilation = (
            one[axis] for one in (layer.kernel_size, layer.strides, layer.dilation_rate)
        )
        reached = _reached(places, extent, stride, dilation, layer.padding)
        found = found[..., None] * reached
    return found


def _reached(places, extent, stride, dilation, padding):
    """Return how many outputs each place of an axis reaches."""
    spread = dilation * (extent - 1) + 1
    before = after = 0
    if padding == "same":
        total = max((-(-places // stride) - 1) * stride + spread - places, 0)
        before, after = total // 2, total - total // 2
    elif padding == "causal":
        before = spread - 1
    outputs = max((places + before + after - spread) // stride + 1, 0)
    read = np.arange(outputs)[:, None] * stride + np.arange(extent) * dilation - before
    inside = read[(read >= 0) & (read < places)]
    return np.bincount(inside, minlength=places).astype(np.int64)


def attention(layer, shape):
    """Return the multiplications and additions of an aggregator for one sample.

    Args:
        layer: an `STAA`, `GlobalContext`, `StepAttention` or `MeanStepAttention`.
        shape: (T, H, W, C), of the current.

    Returns:
        Two integers: multiply-accumulates, and additions alone.
    """
    position, context, step = watching.parts_of(layer)
    values, steps = math.prod(shape), shape[0]
    products = sums = 0
    if context is not None:
        # A logit for each place, the mean by them, and the two products of the transform.
        products += 2 * values + 2 * steps * math.prod(context.squeeze.shape)
    if step is not None:
        sums += values
        # All steps at once, or each by itself.
        times = steps if step.summary == "channels" else 1
        products += times * sum(math.prod(w.shape) for w in (step.squeeze, step.excite))
    if position is not None:
        sums += values
    if context is not None or step is not None:
        products += values
    return products, sums
