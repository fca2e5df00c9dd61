"""Convolution and batch normalisation by the backends' own operations, where Keras's cost more.

Keras normalises by a chain of element-wise operations, where TensorFlow and PyTorch have one; on
PyTorch it also copies the input of every convolution twice. JAX compiles what Keras gives it.
"""

import keras
from keras import ops


def convolution(images, kernel, strides=(1, 1), padding="valid", dilation_rate=(1, 1)):
    """Convolution of images in channels-last order, as `keras.ops.conv`.

    Args:
        images: tensor (B, H, W, C).
        kernel: tensor (rows, columns, C, filters).
        strides: pair of positive integers.
        padding: `"valid"` or `"same"`.
        dilation_rate: pair of positive integers.

    Returns:
        Tensor (B, H', W', filters).

    Example:

    >>> y = convolution(ops.ones((1, 5, 5, 2)), ops.ones((3, 3, 2, 4)), padding="same")
    >>> tuple(y.shape)
    (1, 5, 5, 4)
    """
    make = _torch_convolution if keras.backend.backend() == "torch" else ops.conv
    return make(images, kernel, strides, padding, dilation_rate=dilation_rate)


def normalization():
    """The backend's own batch normalisation.

    Returns:
        None, or two functions for tensors x (B, H, W, C) of at most 32 bits and float32 tensors
        (C,): `by_batch(x, scale, offset, epsilon) -> (y, mean, variance)`, where the variance is
        the biased one, which Keras's moving average is made of, and
        `by_moments(x, scale, offset, mean, variance, epsilon) -> y`.
    """
    return _NORMALIZATIONS.get(keras.backend.backend())


def _torch_convolution(images, kernel, strides, padding, dilation_rate):
    from torch.nn import functional

    images, kernel = ops.convert_to_tensor(images), ops.convert_to_tensor(kernel)
    if tuple(kernel.shape[:2]) == (1, 1):
        # oneDNN's own way to stride one place writes beyond its buffer in the gradient of the
        # kernel where there are few channels: wrong values, crashes, and loops without end.
        images, strides = images[:, :: strides[0], :: strides[1]], (1, 1)
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
    y = functional.conv2d(
        x, kernel.permute(3, 2, 0, 1), stride=strides, padding=pads, dilation=dilation_rate
    )
    return y.permute(0, 2, 3, 1)


def _torch_by_batch(x, scale, offset, epsilon):
    import torch

    y, mean, deviation = torch.native_batch_norm(
        x.permute(0, 3, 1, 2), scale, offset, None, None, True, 0.0, epsilon
    )
    variance = deviation.detach().pow(-2).sub(epsilon).clamp(min=0)
    return y.permute(0, 2, 3, 1), mean, variance


def _torch_by_moments(x, scale, offset, mean, variance, epsilon):
    from torch.nn import functional

    x = x.permute(0, 3, 1, 2)
    y = functional.batch_norm(x, mean, variance, scale, offset, False, 0.0, epsilon)
    return y.permute(0, 2, 3, 1)


def _tensorflow_by_batch(x, scale, offset, epsilon):
    import tensorflow as tf

    none = tf.zeros((0,))
    y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=x, scale=scale, offset=offset, mean=none, variance=none, epsilon=epsilon
    )
    # TensorFlow gives the unbiased variance, of n / max(n - 1, 1) times the biased one.
    n = tf.cast(tf.reduce_prod(tf.shape(x)[:3]), "float32")
    return y, mean, variance * (tf.maximum(n - 1, 1) / n)


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


_NORMALIZATIONS = {
    "tensorflow": (_tensorflow_by_batch, _tensorflow_by_moments),
    "torch": (_torch_by_batch, _torch_by_moments),
}
