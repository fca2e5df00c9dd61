"""Sums over many places, in the form that each compiler is good at.

XLA's code for a CPU sums over a leading axis 40 times as slowly as it stores, and a sum that is
fused with a long chain of products in scalar steps; the forms here avoid both. On an accelerator
the plain sum is the fastest, and a matrix product would round.
"""

import functools

import keras
from keras import ops


def row_sum(values):
    """Sum a float32 tensor (rows, C) over the rows.

    Example:

    >>> [float(v) for v in row_sum(ops.ones((2, 3)))]
    [2.0, 2.0, 2.0]
    """
    if not xla_on_cpu():
        return ops.sum(values, axis=0)
    ones = ops.ones((1, ops.shape(values)[0]), "float32")
    return ops.matmul(ones, values)[0]


def batch_sum(values, weights=None):
    """Sum a tensor (B, T, H, W, C) over the batch, weighted by a tensor (B, T): float32.

    Example:

    >>> batch_sum(ops.ones((2, 4, 8, 8, 3)), ops.zeros((2, 4))).shape == (4, 8, 8, 3)
    True
    """

    def weighted(values, weights):
        values = ops.cast(values, "float32")
        return values if weights is None else values * weights[..., None, None, None]

    if not xla_on_cpu():
        return ops.sum(weighted(values, weights), axis=0)

    def add(index, total):
        return total + weighted(values[index], None if weights is None else weights[index])

    zeros = ops.zeros(values.shape[1:], "float32")
    return ops.fori_loop(0, ops.shape(values)[0], add, zeros)


@functools.cache
def xla_on_cpu():
    """Whether XLA compiles these sums, for a CPU."""
    return _XLA_ON_CPU[keras.backend.backend()]()


def _jax():
    import jax

    return jax.default_backend() == "cpu"


def _tensorflow():
    import tensorflow as tf

    return all(device.device_type == "CPU" for device in tf.config.list_logical_devices())


_XLA_ON_CPU = {"jax": _jax, "tensorflow": _tensorflow, "torch": lambda: False}
