"""Scale and shift of each channel in front of a neuron, for the neuron to apply.

On JAX, batch normalization gives its output and also says what it is made of: x, scale and shift.
A neuron that finds these reads x, so that the output is stored nowhere. What reads the output
itself gets it as ever.
"""

import weakref
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_staa.ops.gradient import with_backward
from keras_staa.ops.sums import row_sum


class Affine(NamedTuple):
    """What `x * scale + shift` is made of, in float32.

    The gradient that `x` gets is that of the product and sum, and not `scale` times it: what made
    x multiplies by `scale`, in the pass over memory that it needs anyway.
    """

    x: Any
    scale: Any
    shift: Any


# By the identity of a tensor of JAX while a program is traced, as long as it lives.
_KNOWN = {}


def applied(parts):
    """Return `x * scale + shift` in the dtype of x, and remember what it is made of.

    Args:
        parts: an `Affine` of x (..., C), scale and shift, float32 (C,).
    """
    y = _applied(*parts)
    remember(y, parts)
    return y


def value(x, scale, shift):
    """Return `x * scale + shift` in float32, or x where there is no scale."""
    x = ops.cast(x, "float32")
    return x if scale is None else x * scale + shift


def remember(y, parts):
    """Say what a tensor is made of, for `made_of`."""
    import jax

    if isinstance(y, jax.core.Tracer):
        key = id(y)
        _KNOWN[key] = weakref.ref(y, lambda _: _KNOWN.pop(key, None)), parts


def made_of(y):
    """Return the `Affine` that a tensor is made of, or None where nothing is known of it."""
    if keras.backend.backend() != "jax":
        return None
    known, parts = _KNOWN.get(id(y), (None, None))
    return parts if known is not None and known() is y else None


def reshaped(y, shape):
    """Return `ops.reshape(y, shape)` that is made of what y is, the last axis being the same."""
    found, parts = ops.reshape(y, shape), made_of(y)
    if parts is not None:
        remember(found, parts._replace(x=ops.reshape(parts.x, shape)))
    return found


def carried(x, scale, shift):
    """Return an `Affine` of tensors that has the true gradients.

    Args:
        x: tensor (..., C).
        scale, shift: float32 tensors (C,).
    """
    return Affine(*_carried(x, scale, shift))


def sums(x, g):
    """Return the gradients of scale and shift, from that of the output, both (..., C)."""
    g, x = (ops.reshape(ops.cast(v, "float32"), (-1, v.shape[-1])) for v in (g, x))
    return row_sum(g * x), row_sum(g)


def _apply(x, scale, shift):
    return ops.cast(value(x, scale, shift), x.dtype), (x,)


def _apply_backward(residuals, g):
    return g, *sums(residuals[0], g)


def _carry(x, scale, shift):
    return (x, scale, shift), (scale,)


def _carry_backward(residuals, gradients):
    g, dscale, dshift = gradients
    return ops.cast(ops.cast(g, "float32") * residuals[0], g.dtype), dscale, dshift


def _applied(*tensors):
    return with_backward(_apply, _apply_backward)(*tensors)


def _carried(*tensors):
    return with_backward(_carry, _carry_backward)(*tensors)
