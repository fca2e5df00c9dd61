"""A potential against its threshold, in the form that each compiler is good at.

A comparison takes NaN for a potential below the threshold, so a spike is more than one. XLA makes
one loop of comparisons and choices. Where operations run one by one these are slow, and products
and sums of float32 numbers fast.
"""

import functools
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from keras_staa.ops.gradient import with_backward


class Threshold(NamedTuple):
    """What a neuron does at its threshold, as functions of float32 tensors.

    `fired(v)` is 1 where the potential reaches the threshold and 0 where not; `spikes(s, v)` is
    the same, but NaN where the potential is; `silent(values, s, v)` is 0 where there is a spike.
    `s` is what `fired` gave for `v`.
    """

    fired: object
    spikes: object
    silent: object


def against(threshold):
    """Return the functions of a threshold, a positive float.

    Example:

    >>> at = against(1.0)
    >>> v = ops.array([0.5, 1.0, float("nan")])
    >>> [float(s) for s in at.spikes(at.fired(v), v)]
    [0.0, 1.0, nan]
    """
    make = by_comparison if keras.backend.backend() == "jax" else _by_arithmetic
    return make(threshold)


def by_comparison(threshold):
    """Return the functions of a threshold that every runtime and every number format has."""
    return Threshold(
        fired=lambda v: ops.cast(v >= threshold, "float32"),
        spikes=lambda s, v: ops.where(v == v, s, v),
        silent=lambda values, s, v: ops.where(v >= threshold, 0.0, values),
    )


def _by_arithmetic(threshold):
    # Between these two lies no float32: what is cut to the range is one of them, or NaN.
    high = np.float32(threshold)
    low = np.nextafter(high, np.float32(0))
    # The distance is a power of two, so that the product is exact.
    low, high, factor = float(low), float(high), 1.0 / float(high - low)
    if factor > 2.0**127:
        return by_comparison(threshold)
    return Threshold(
        fired=lambda v: (clip(v, low, high) - low) * factor,
        spikes=lambda s, v: s,
        silent=lambda values, s, v: values * (1.0 - s),
    )


def spike(u, surrogate):
    """1 where u, the potential minus the threshold, is 0 or more, and 0 elsewhere; NaN where u is.

    Args:
        u: float32 tensor.
        surrogate: function of u that gives dS/du, the gradient.

    Returns:
        Spikes, float32.

    Example:

    >>> [float(s) for s in spike(ops.array([-0.5, 0.0]), lambda u: 1.0)]
    [0.0, 1.0]
    """
    make = _spike if is_hashable(surrogate) else _spike.__wrapped__
    return make(surrogate)(u)


@functools.cache
def _spike(surrogate):
    def forward(u):
        return ops.where(u == u, ops.cast(u >= 0, "float32"), u), (u,)

    return with_backward(forward, lambda saved, g: (g * surrogate(saved[0]),))


def is_hashable(value):
    """Whether a value has a hash, with all that it is made of.

    Example:

    >>> is_hashable((1, "a")), is_hashable((1, []))
    (True, False)
    """
    try:
        hash(value)
    except TypeError:
        return False
    return True


def clip(x, low, high):
    """Cut a float32 tensor to a range, but leave NaN as it is.

    Example:

    >>> [float(v) for v in clip(ops.array([0.5, 3.0, float("nan")]), 1.0, 2.0)]
    [1.0, 2.0, nan]
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # Keras's is two passes over memory there.
        return tf.raw_ops.ClipByValue(t=x, clip_value_min=low, clip_value_max=high)
    if keras.backend.backend() == "torch":
        # Keras's makes tensors of the bounds.
        return x.clamp(low, high)
    return ops.clip(x, low, high)
