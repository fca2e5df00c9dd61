"""The threshold and the reset of `Leaky` for `keras_staa.ops.in_place`."""

import functools

import numpy as np
import torch

from keras_staa import surrogates
from keras_staa.ops.saturation import LARGEST_CURRENT

NO_BOUND = float("-inf")
# Where the sum of many numbers would not be finite.
_SUMS = {torch.float16: torch.float32}
_masked = torch.ops.aten.hardtanh_backward.grad_input


def rules(dynamics):
    """Return the rules of a `Leaky`, or None for a surrogate of unknown form."""
    return Rules(dynamics) if type(dynamics.surrogate) in KNOWN else None


class Rules:
    """What a neuron does at its threshold: functions of float32 tensors that write into others.

    The potentials are finite, or the caller throws away what comes of them.

    Attributes:
        limit: None, or the largest current that the gradient bears.
    """

    def __init__(self, dynamics):
        self.dynamics = dynamics
        self.threshold = float(np.float32(dynamics.threshold))
        self.soft = dynamics.reset == "soft"
        self.slope = _SLOPES.get(type(dynamics.surrogate)) if dynamics.detach_reset else None
        if self.slope is not None:
            self.slope = self.slope(dynamics.surrogate, self.threshold)
        self.limit = LARGEST_CURRENT if self.slope is None else None

    def fired(self, v, out):
        """Return 1 where v reaches the threshold and 0 elsewhere, written to `out`."""
        return torch.ge(v, self.threshold, out=out)

    def after(self, v, s, out):
        """Return H, written to `out`: no finite number where v is none."""
        if self.soft:
            return torch.sub(v, s, alpha=self.threshold, out=out)
        return torch.addcmul(v, v, s, value=-1.0, out=out)

    def again(self, v, out):
        """Return the same of finite potentials, without spikes at hand."""
        if self.soft:
            return self.after(v, self.fired(v, out), out)
        return masked(v, v, NO_BOUND, self.threshold, out)

    def gradient(self, g, dh, decay, v, spare, out):
        """Write dV to `out`.

        Args:
            g: the gradient of the spikes; it may be `out`.
            dh: dV of the next step, or None in the last one. Times `decay` it is that of H.
            decay: float, or float32 tensor (C,).
            v: the potential.
            spare: tensor to overwrite.
        """
        if self.slope is None:
            dh = None if dh is None else torch.mul(dh, decay, out=spare)
            s = self.fired(v, torch.empty_like(v))
            out.copy_(self.dynamics.potential_gradient(g, dh, v, s))
            return
        self.slope.times(g, v, spare, out)
        if dh is None:
            return
        factor = decay if isinstance(decay, float) else 1.0
        if not isinstance(decay, float):
            dh = torch.mul(dh, decay, out=spare)
        if not self.soft:
            dh = masked(dh, v, NO_BOUND, self.threshold, spare)
        out.add_(dh, alpha=factor)

    def spikes_of_one_step(self, x):
        """Return spikes of the dtype of x, or None where x is not finite."""
        if not torch.isfinite(x.sum(dtype=_SUMS.get(x.dtype))):
            return None
        return torch.ge(x, above(self.threshold, x.dtype), out=torch.empty_like(x))

    def gradient_of_one_step(self, x, g):
        """Return the gradient of x in its dtype, or None where that is not to be had."""
        if not isinstance(self.slope, _Rectangular):
            return None
        return self.slope.times(g, x, None, torch.empty_like(x))


def masked(values, x, low, high, out):
    """Return `values` where `low < x < high` and 0 elsewhere, written to `out`.

    Args:
        values, x, out: tensors of one shape and dtype. `out` may be one of the others.
        low, high: floats, `NO_BOUND` for none.
    """
    return _masked(values, x, low, high, grad_input=out)


class _Rectangular:
    def __init__(self, surrogate, threshold):
        self.width = surrogate.width
        self.low, self.high = window(threshold, surrogate.width / 2)

    def times(self, g, v, spare, out):
        """Write g times the slope to `out`, which may be g."""
        masked(g, v, below(self.low, v.dtype), above(self.high, v.dtype), out)
        return out if self.width == 1.0 else out.mul_(1.0 / self.width)


class _Triangular:
    def __init__(self, surrogate, threshold):
        self.width, self.threshold = surrogate.width, threshold

    def times(self, g, v, spare, out):
        """Write g times the slope to `out`, which may be g."""
        factor = torch.sub(v, self.threshold, out=spare).abs_()
        factor.mul_(-1.0 / self.width).add_(1.0).clamp_(min=0.0)
        torch.mul(g, factor, out=out)
        return out if self.width == 1.0 else out.mul_(1.0 / self.width)


_SLOPES = {surrogates.Rectangular: _Rectangular, surrogates.Triangular: _Triangular}
# Surrogates that do not depend on the place, as one of a user's own may.
KNOWN = (*_SLOPES, surrogates.Sigmoid, surrogates.Arctan)


def window(threshold, half):
    """Return the float32 numbers next to those that are nearer to the threshold than `half`."""
    threshold, half = np.float32(threshold), np.float32(half)
    middle, most = _place(threshold), _place(np.float32(np.inf))

    def outside(place):
        with np.errstate(over="ignore"):
            return abs(_number(place) - threshold) >= half

    return tuple(float(_number(_edge(outside, middle, end))) for end in (-most, most))


def _edge(outside, inside, place):
    """Return the place nearest to `inside` that is outside, as `place` is, by halving."""
    while abs(place - inside) > 1:
        middle = (place + inside) // 2
        if outside(middle):
            place = middle
        else:
            inside = middle
    return place


def _place(number):
    """Place of a float32 number among all of them in order, 0 for zero."""
    bits = int(np.float32(number).view(np.int32))
    return bits if bits >= 0 else -(bits + 2**31)


def _number(place):
    bits = place if place >= 0 else 2**31 - place
    return np.uint32(bits).view(np.float32)


@functools.cache
def below(number, dtype):
    """Return the largest number of a dtype that is at most a float."""
    return -above(-number, dtype)


@functools.cache
def above(number, dtype):
    """Return the smallest number of a dtype that is at least a float."""
    found = torch.tensor(number, dtype=dtype)
    if float(found) >= number:
        return float(found)
    return float(torch.nextafter(found, torch.tensor(float("inf"), dtype=dtype)))
