"""Sums over many places, in the form that each compiler is good at.

XLA's code for a CPU sums over a leading axis 40 times as slowly as it stores, and a sum that is
fused with a long chain of products in scalar steps; a product of matrices avoids both. On an
accelerator the plain sum is the fastest, and a matrix product would round. Both forms leave a
batch that is split over devices where it is: one sum over the devices is all that they exchange.
"""

import functools
import math

import keras
from keras import ops

if keras.backend.backend() == "torch":
    from keras_staa.ops import cached, in_place


def row_sum(values):
    """Sum a float32 tensor (rows, C) over the rows.

    Example:

    >>> [float(v) for v in row_sum(ops.ones((2, 3)))]
    [2.0, 2.0, 2.0]
    """
    return by_platform(_row_product, functools.partial(ops.sum, axis=0))(values)


def batch_sum(values, weights=None):
    """Sum a tensor (B, T, H, W, C) over the batch, weighted by a tensor (B, T): float32.

    Example:

    >>> batch_sum(ops.ones((2, 4, 8, 8, 3)), ops.zeros((2, 4))).shape == (4, 8, 8, 3)
    True
    """
    if _runs_in_blocks(values):
        return cached.batch_sum(values, weights)
    values = ops.cast(values, "float32")
    if weights is not None:
        values = values * weights[..., None, None, None]
    rows = ops.reshape(values, (-1, math.prod(values.shape[1:])))
    return ops.reshape(row_sum(rows), values.shape[1:])


def float_mean(values, axes):
    """Return the mean over axes as float32, without a float32 copy of them on PyTorch.

    Example:

    >>> [float(v) for v in float_mean(ops.ones((2, 3), "bfloat16"), (0,))]
    [1.0, 1.0, 1.0]
    """
    if _runs_in_blocks(values) and 0 not in axes:
        return cached.mean(values, axes)
    return ops.mean(ops.cast(values, "float32"), axis=axes)


def _runs_in_blocks(values):
    return keras.backend.backend() == "torch" and in_place.is_plain(values)


def _row_product(values):
    ones = ops.ones((1, ops.shape(values)[0]), "float32")
    return ops.matmul(ones, values)[0]


def by_platform(xla_on_cpu, elsewhere, triton=None, mosaic=None):
    """Return a function of tensors in one form for XLA on a CPU and in another for everything else.

    JAX chooses when a program is lowered, which may be for another platform than that of the
    process. TensorFlow has no such moment: there the plain form stands as soon as the process has
    an accelerator, and is right but slower for what is put on the CPU all the same. PyTorch goes by
    where the first tensor is.

    Args:
        xla_on_cpu, elsewhere: functions of the same tensors, with results of one shape and dtype.
        triton, mosaic: None, or other forms for JAX and PyTorch on GPUs of NVIDIA, and on TPUs.

    Returns:
        A function of these tensors.

    Example:

    >>> by_platform(lambda x: x + 1, lambda x: 1 + x)(ops.ones(2)).shape == (2,)
    True
    """
    return _CHOICES[keras.backend.backend()](xla_on_cpu, elsewhere, triton, mosaic)


def _jax(xla_on_cpu, elsewhere, triton, mosaic):
    from jax import lax

    more = {name: form for name, form in (("cuda", triton), ("tpu", mosaic)) if form is not None}

    def call(*tensors):
        return lax.platform_dependent(*tensors, cpu=xla_on_cpu, default=elsewhere, **more)

    return call


def _tensorflow(xla_on_cpu, elsewhere, *others):
    import tensorflow as tf

    kinds = {device.device_type for device in tf.config.list_logical_devices()}
    return xla_on_cpu if kinds == {"CPU"} else elsewhere


def _torch(xla_on_cpu, elsewhere, triton, mosaic):
    if triton is None:
        return elsewhere
    return lambda *tensors: (triton if tensors[0].is_cuda else elsewhere)(*tensors)


_CHOICES = {"jax": _jax, "tensorflow": _tensorflow, "torch": _torch}
