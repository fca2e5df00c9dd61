"""Gradients of what a neuron gets, from those of its potentials."""

from keras import ops

from keras_staa.ops.affine import sums
from keras_staa.ops.inputs import times
from keras_staa.ops.sums import row_sum


def at_once(a, dvs):
    """Return the gradients of current and gain: the form that XLA is good at.

    `a` is an `Inputs`, and `dvs` the dV of all steps: a list, or a tensor with time first.
    """
    many = not isinstance(dvs, list)
    dv, dn = ops.swapaxes(dvs, 0, 1) if many else ops.stack(dvs, axis=1), None
    if a.gated:
        dn = ops.sum(dv * a.all_encoded(), axis=(2, 3))
    elif not isinstance(a.gain, float):
        each = [dv * a.all_encoded()] if many else [dvs[t] * a.encoded(t) for t in range(a.steps)]
        dn = sum_to(sum(each), a.gain)
    return ops.cast(times(a.all_gains(), dv), a.current.dtype), dn


def by_steps(a, dvs):
    """Return the same without a float32 tensor of all steps, which PyTorch's compiler stores."""
    steps, dn = range(a.steps), None
    dx = [ops.cast(times(a.gain_at(t), dvs[t]), a.current.dtype) for t in steps]
    if a.gated:
        each = [ops.sum(dvs[t] * a.encoded(t), axis=(1, 2)) for t in steps]
        dn = ops.stack(each, axis=1)
    elif not isinstance(a.gain, float):
        dn = sum_to(sum(dvs[t] * a.encoded(t) for t in steps), a.gain)
    return ops.stack(dx, axis=1), dn


def zeros(*tensors):
    return tuple(None if x is None else ops.zeros_like(x) for x in tensors)


def line_sums(a, dx):
    """Return the gradients of scale and shift."""
    if a.gated or a.scale is None:
        return zeros(a.scale, a.shift)
    return sums(a.current, dx)


def sum_to(values, coefficient):
    """Sum a tensor (..., C) to the shape (C,) of a coefficient."""
    return row_sum(ops.reshape(values, (-1, coefficient.shape[0])))
