"""Convolution and batch normalization by the backends' own operations, where Keras's cost more.

Keras normalizes by a chain of element-wise operations, where TensorFlow and PyTorch have one; on
PyTorch it also copies the input of every convolution twice. On JAX a neuron behind it does part of
the work.
"""

import functools
import math

import keras
from keras import ops

from keras_staa.ops import affine
from keras_staa.ops.gradient import with_backward

# One image of so many is looked at before the others. The mean of a share f of all values is at
# most sqrt(1 / f) deviations from the mean of all.
SAMPLED = 16


def convolution(images, kernel, strides=(1, 1), padding="valid", dilation_rate=(1, 1), bias=None):
    """Convolution of images in channels-last order, as `keras.ops.conv`, and a bias.

    Args:
        images: tensor (B, H, W, C).
        kernel: tensor (rows, columns, C, filters).
        strides: pair of positive integers.
        padding: `"valid"` or `"same"`.
        dilation_rate: pair of positive integers.
        bias: tensor (filters,), which is added in the same pass where the backend can, or None.

    Returns:
        Tensor (B, H', W', filters).

    Example:

    >>> y = convolution(ops.ones((1, 5, 5, 2)), ops.ones((3, 3, 2, 4)), padding="same")
    >>> tuple(y.shape)
    (1, 5, 5, 4)
    """
    strided = max(strides) > 1 and tuple(kernel.shape[:2]) == (1, 1)
    if strided and keras.backend.backend() != "jax":
        # oneDNN's own way to stride one place writes beyond its buffer in the gradient of the
        # kernel where there are few channels: wrong values, crashes, and loops without end.
        images = ops.convert_to_tensor(images)[:, :: strides[0], :: strides[1]]
        strides = (1, 1)
    if keras.backend.backend() == "torch":
        return _torch_convolution(images, kernel, strides, padding, dilation_rate, bias)
    outputs = ops.conv(images, kernel, strides, padding, "channels_last", dilation_rate)
    return outputs if bias is None else ops.add(outputs, bias)


def normalization():
    """Return the backend's own batch normalization.

    Returns:
        Two functions for tensors x (B, H, W, C) of at most 32 bits and float32 tensors
        (C,): `by_batch(x, scale, offset, epsilon) -> (y, mean, variance)`, where the variance is
        the biased one, which Keras's moving average is made of, and
        `by_moments(x, scale, offset, mean, variance, epsilon) -> y`.
    """
    return _NORMALIZATIONS[keras.backend.backend()]


def _torch_convolution(images, kernel, strides, padding, dilation_rate, bias):
    from torch.nn import functional

    images, kernel = ops.convert_to_tensor(images), ops.convert_to_tensor(kernel)
    bias = None if bias is None else ops.convert_to_tensor(bias)
    x, pads = images.permute(0, 3, 1, 2), [0, 0]
    if padding == "same":
        totals = [
            max((-(-size // stride) - 1) * stride + (extent - 1) * dilation + 1 - size, 0)
            for size, extent, stride, dilation in zip(
                x.shape[2:], kernel.shape, strides, dilation_rate, strict=False
            )
        ]
        pads = [total // 2 for total in totals]
        # Where the sides differ, the larger one is behind, as in the other backends.
        rest = [total % 2 for total in totals]
        x = functional.pad(x, (0, rest[1], 0, rest[0])) if any(rest) else x
    kernel = kernel.permute(3, 2, 0, 1)
    y = functional.conv2d(x, kernel, bias, strides, pads, dilation_rate)
    return y.permute(0, 2, 3, 1)


def _torch_by_batch(x, scale, offset, epsilon):
    import torch

    if x.device.type != "cpu":
        # The kernels of accelerators merge means and variances of parts, and lose nothing.
        y, mean, deviation = torch.native_batch_norm(
            x.permute(0, 3, 1, 2), scale, offset, None, None, True, 0.0, epsilon
        )
        variance = deviation.detach().pow(-2).sub(epsilon).clamp(min=0)
        return y.permute(0, 2, 3, 1), mean, variance
    return _torch_by_parts(float(epsilon))(x, scale, offset)


@functools.cache
def _torch_by_parts(epsilon):
    """Normalize on a CPU: PyTorch's kernels with sums in two stages.

    They add up a channel one value after the other, which loses digits with every doubling of
    the number of values; so they sum each column of the images by itself here.
    """
    import torch

    aten = torch.ops.aten

    def columns(x):
        """Each column of the images as channels of its own: (B * H, W * C, 1, 1)."""
        return x.reshape(-1, x.shape[2] * x.shape[3], 1, 1)

    def statistics(x):
        """Mean and variance of each channel of (B, C, H, W)."""
        # Without averages to update, the statistics of 16-bit values would have 16 bits.
        unused = torch.zeros(x.shape[1])
        return aten.batch_norm_update_stats(x, unused, unused.clone(), 0.0)

    def far_from_zero(x):
        """Whether the mean of a channel may be more than 20 deviations: read off a sample."""
        if torch.compiler.is_compiling():
            return True
        mean, variance = statistics(x[::SAMPLED].permute(0, 3, 1, 2))
        return bool((mean.square() > 16 * variance).any())

    def mapped(x, scale, offset):
        zero, one = torch.zeros_like(scale), torch.ones_like(scale)
        x = x.permute(0, 3, 1, 2)
        return aten.native_batch_norm(x, scale, offset, zero, one, False, 0.0, 0.0)[0].permute(
            0, 2, 3, 1
        )

    def forward(x, scale, offset):
        width, channels = x.shape[2:]
        shift = torch.zeros_like(scale)
        # The sums of 16-bit values are exact in any case.
        if x.dtype == torch.float32 and far_from_zero(x):
            shift = x[::SAMPLED].mean((0, 1, 2))
            x = x - shift
        means, variances = (part.reshape(width, channels) for part in statistics(columns(x)))
        mean = means.mean(0)
        variance = variances.mean(0) + (means - mean).square().mean(0)
        inverse = (variance + epsilon).rsqrt()
        y = mapped(x, scale * inverse, offset - mean * scale * inverse)
        return (y, mean + shift, variance), (x, scale, mean, inverse)

    def backward(residuals, gradients):
        x, scale, mean, inverse = residuals
        g, width = gradients[0].contiguous(), x.shape[2]
        n = x.numel() / x.shape[3]
        each = [value.repeat(width) for value in (scale, mean, inverse)]
        parts = aten.native_batch_norm_backward(
            columns(g),
            columns(x),
            each[0],
            None,
            None,
            *each[1:],
            True,
            epsilon,
            [False, True, True],
        )
        dscale, doffset = (part.reshape(width, -1).sum(0) for part in parts[1:])
        slope = -scale * inverse.square() * dscale / n
        dx = mapped(x, slope, -scale * inverse * doffset / n - slope * mean)
        return dx.addcmul_(g, (scale * inverse).to(g.dtype)), dscale, doffset

    return with_backward(forward, backward)


def _torch_by_moments(x, scale, offset, mean, variance, epsilon):
    from torch.nn import functional

    x = x.permute(0, 3, 1, 2)
    y = functional.batch_norm(x, mean, variance, scale, offset, False, 0.0, epsilon)
    return y.permute(0, 2, 3, 1)


def _tensorflow_by_batch(x, scale, offset, epsilon):
    return _tensorflow_by_parts(float(epsilon))(x, scale, offset)


@functools.cache
def _tensorflow_by_parts(epsilon):
    """Normalize by a program of XLA, as two passes over the values in each direction.

    TensorFlow's own operation adds up a channel one value after the other, and compiled by XLA it
    subtracts the square of the mean from the mean of the squares.
    """
    import tensorflow as tf

    def mean_of(values):
        """Mean of (B, H, W, C) over all but the channels, each column of the images first."""
        shape = tf.shape(values)
        rows = tf.reshape(values, (shape[0] * shape[1], -1))
        columns = tf.reshape(tf.reduce_mean(rows, axis=0), (shape[2], shape[3]))
        return tf.reduce_mean(columns, axis=0)

    # Each mean here waits for the one before: XLA's code for two sums at once is slow on a CPU.
    def forward(x, scale, offset):
        sample = tf.cast(x[::SAMPLED], "float32")
        shift = mean_of(sample)
        # A sum of many values near 1000 has few digits left for their differences.
        shift += mean_of(sample - shift)
        centred = tf.cast(x, "float32") - shift
        rest = mean_of(centred)
        centred = centred - rest
        variance = mean_of(tf.square(centred))
        inverse = tf.math.rsqrt(variance + epsilon)
        y = tf.cast(centred * (inverse * scale) + offset, x.dtype)
        return (y, shift + rest, variance), (x, scale, shift, rest, inverse)

    def backward(residuals, gradients):
        x, scale, shift, rest, inverse = residuals
        g = tf.cast(gradients[0], "float32")
        centred = tf.cast(x, "float32") - shift - rest
        mean = mean_of(g)
        g = g - mean
        slope = mean_of(g * centred) * inverse
        dx = (scale * inverse) * (g - centred * (inverse * slope))
        count = tf.cast(tf.reduce_prod(tf.shape(x)[:3]), "float32")
        return tf.cast(dx, x.dtype), slope * count, mean * count

    return with_backward(forward, backward, compiled=True)


def _tensorflow_by_moments(x, scale, offset, mean, variance, epsilon):
    import tensorflow as tf

    return tf.raw_ops.FusedBatchNormV3(
        x=x,
        scale=scale,
        offset=offset,
        mean=mean,
        variance=variance,
        epsilon=epsilon,
        is_training=False,
    )[0]


def _jax_by_batch(x, scale, offset, epsilon):
    x, scale, shift, mean, variance = _jax_by_parts(float(epsilon))(x, scale, offset)
    return affine.applied(affine.Affine(x, scale, shift)), mean, variance


@functools.cache
def _jax_by_parts(epsilon):
    """Statistics, and the scale and shift that they make, with one pass for the gradient of x."""

    def forward(x, scale, offset):
        mean, variance = ops.moments(ops.cast(x, "float32"), (0, 1, 2))
        inverse = ops.rsqrt(variance + epsilon)
        by = scale * inverse
        return (x, by, offset - mean * by, mean, variance), (x, scale, mean, inverse)

    def backward(residuals, gradients):
        x, scale, mean, inverse = residuals
        # Those of the statistics are for the moving averages, which have no gradient.
        g, dby, doffset = gradients[:3]
        slope = (dby - mean * doffset) * inverse
        dx = ops.cast(g, "float32") - (ops.cast(x, "float32") - mean) * (inverse * slope / _rows(x))
        dx = scale * inverse * (dx - doffset / _rows(x))
        return ops.cast(dx, x.dtype), slope, doffset

    return with_backward(forward, backward)


def _rows(x):
    return math.prod(ops.shape(x)[:-1])


def _jax_by_moments(x, scale, offset, mean, variance, epsilon):
    by = scale * ops.rsqrt(variance + epsilon)
    return affine.applied(affine.carried(x, by, offset - mean * by))


_NORMALIZATIONS = {
    "jax": (_jax_by_batch, _jax_by_moments),
    "tensorflow": (_tensorflow_by_batch, _tensorflow_by_moments),
    "torch": (_torch_by_batch, _torch_by_moments),
}
