"""Leaky integrate-and-fire dynamics with one hand-written gradient round the whole loop."""

import functools
import numbers
from collections.abc import Hashable
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_staa.ops.gradient import with_backward
from keras_staa.ops.sums import batch_sum, row_sum
from keras_staa.ops.threshold import against, clip

# Above this many steps the loop rolls into `ops.scan`: an unrolled loop is faster to run and takes
# less memory, but XLA takes 25 s to compile 64 steps of it.
UNROLLED_STEPS = 16

# Currents saturate here, so that no potential is infinite: the difference of two infinities is no
# number, nor is their product with a gradient of zero.
LARGEST_CURRENT = 1e30


def lif(current, decay, gain, surrogate, threshold=1.0, reset="hard", detach_reset=True):
    """Integrate currents over time and emit spikes (the paper's neuron equations).

    `V[t] = decay * H[t-1] + gain * I[t]`, `S[t] = 1 where V[t] >= threshold else 0`,
    `H[t] = V[t] * (1 - S[t])` (hard reset) or `V[t] - threshold * S[t]` (soft reset), `H[-1] = 0`.

    Only the current is kept for the gradient, which runs through the steps again: memory does not
    grow by one membrane potential a step. The potential is float32 whatever the current's dtype.

    Args:
        current: tensor (B, T, ...), the input current I. T must be static.
        decay: the M of the paper: a number, or a float32 tensor (C,) or (), C the size of the last
            axis (1 where there is none besides B and T).
        gain: the N of the paper, a number or a tensor like `decay`.
        surrogate: function of `V - threshold` that gives dS/dV.
        threshold: positive float.
        reset: `"hard"` or `"soft"`.
        detach_reset: whether the gradient skips the path through the spike in the reset.

    Returns:
        Spikes, of the shape and dtype of `current`: exactly 0 or 1, but NaN once a current was NaN.
        Infinite currents count as very large ones.

    Raises:
        ValueError: for a coefficient of another shape.

    Example:

    >>> from keras_staa import surrogates
    >>> spikes = lif(ops.ones((1, 4)) * 0.8, 0.5, 1.0, surrogates.Rectangular())
    >>> spikes.shape[1], [float(s) for s in spikes[0]]
    (4, [0.0, 1.0, 0.0, 1.0])
    """
    current = ops.convert_to_tensor(current)
    pair = {"decay": decay, "gain": gain}
    if all(isinstance(value, numbers.Real) for value in pair.values()):
        constants = tuple(float(value) for value in pair.values())
        return neuron(surrogate, threshold, reset, detach_reset, constants)(current)
    channels = current.shape[-1] if len(current.shape) > 2 else 1
    pair = [_of_channels(name, value, channels) for name, value in pair.items()]
    return neuron(surrogate, threshold, reset, detach_reset)(current, *pair)


def _of_channels(name, value, channels):
    value = ops.convert_to_tensor(value, "float32")
    if tuple(value.shape) not in ((), (channels,)):
        raise ValueError(
            f"`{name}` must be a number or a tensor of shape ({channels},), the size of the "
            f"current's last axis. Received: a tensor of shape {tuple(value.shape)}"
        )
    return ops.broadcast_to(value, (channels,))


class _Inputs(NamedTuple):
    """What one call of a neuron gets; None for what it does not have."""

    current: Any
    decay: Any = None
    gain: Any = None
    encoding: Any = None
    keep: Any = None

    @property
    def gated(self):
        return not isinstance(self.gain, float) and len(self.gain.shape) == 3

    @property
    def steps(self):
        return self.current.shape[1]

    def encoded(self, t):
        """I[t] + keep[t] * E[t] in float32."""
        encoding = None if self.encoding is None else self.encoding[t]
        keep = None if self.keep is None else self.keep[:, t]
        return _encode(self.current[:, t], encoding, keep)

    def all_encoded(self):
        """The same of all steps."""
        return _encode(self.current, self.encoding, self.keep)

    def gain_at(self, t):
        return self.gain[:, t][:, None, None, :] if self.gated else self.gain

    def all_gains(self):
        return self.gain[:, :, None, None, :] if self.gated else self.gain


def neuron(
    surrogate, threshold=1.0, reset="hard", detach_reset=True, constants=None, compiled=False
):
    """The function behind `lif`, made once and called often, as compilers want it.

    Equal arguments give the same function, so that equal layers are compiled once.

    Args:
        surrogate, threshold, reset, detach_reset: as in `lif`.
        constants: (decay, gain), two floats, or None where they are tensors.
        compiled: as in `with_backward`.

    Returns:
        A function `(current) -> spikes`, or `(current, decay, gain, encoding=None, keep=None) ->
        spikes` without constants. For a current (B, T, H, W, C) the gain may be (B, T, C), as the
        gates of the aggregator make it; `encoding` (T, H, W, C) is added to the current in the
        steps where `keep`, float32 (B, T), is 1 and not 0, and has no gradient in `keep`.
    """
    make = _neuron if isinstance(surrogate, Hashable) else _neuron.__wrapped__
    return make(surrogate, threshold, reset, detach_reset, constants, compiled)


@functools.cache
def _neuron(surrogate, threshold, reset, detach_reset, constants, compiled):
    soft = reset == "soft"
    fixed = constants is not None

    at = against(threshold)

    def after(v, s):
        """H, the potential after the reset."""
        return v - threshold * s if soft else at.silent(v, s, v)

    def unrolled(a):
        """V[t] and where it fires, one step after the other."""
        h = None
        for t in range(a.steps):
            v = _times(a.gain_at(t), a.encoded(t))
            v = v if h is None else v + _times(a.decay, h)
            s = at.fired(v)
            yield v, s
            h = after(v, s) if t + 1 < a.steps else None

    def rolled(a):
        """V of all steps, time first."""

        def step(h, y):
            v = y + _times(a.decay, h)
            return after(v, at.fired(v)), v

        driven = _swap_time(_times(a.all_gains(), a.all_encoded()))
        return ops.scan(step, _zeros_like_step(a.current), driven)[1]

    def forward(a):
        dtype = a.current.dtype
        if a.steps > UNROLLED_STEPS:
            v = rolled(a)
            return _swap_time(ops.cast(at.spikes(at.fired(v), v), dtype))
        return ops.stack([ops.cast(at.spikes(s, v), dtype) for v, s in unrolled(a)], axis=1)

    def potential_gradient(g, dh, v, s):
        """dV[t] from the gradients of S[t] and of H[t]."""
        slope = surrogate(v - threshold)
        dv = ops.cast(g, "float32") * slope
        if dh is None:
            return dv
        if detach_reset:
            return dv + (dh if soft else at.silent(dh, s, v))
        passed = 1.0 if soft else 1.0 - s
        return dv + dh * (passed - (threshold if soft else v) * slope)

    def unrolled_backward(a, g):
        """dV of all steps, and what dM is the sum of, already summed over the steps."""
        vs, dvs, dm, dh = list(unrolled(a)), [None] * a.steps, None, None
        for t in reversed(range(a.steps)):
            dvs[t] = potential_gradient(g[:, t], dh, *vs[t])
            if t and not fixed:
                product = dvs[t] * after(*vs[t - 1])
                dm = product if dm is None else dm + product
            dh = _times(a.decay, dvs[t]) if t else None
        return dvs, dm

    def rolled_backward(a, g):
        vs = rolled(a)

        def step(dh, inputs):
            g, v = inputs
            dv = potential_gradient(g, dh, v, at.fired(v))
            return _times(a.decay, dv), dv

        dvs = ops.scan(step, _zeros_like_step(a.current), (_swap_time(g), vs), reverse=True)[1]
        return dvs, None if fixed else dvs[1:] * after(vs[:-1], at.fired(vs[:-1]))

    def backward(a, g):
        many = a.steps > UNROLLED_STEPS
        dvs, dm = (rolled_backward if many else unrolled_backward)(a, g)
        dv = _swap_time(dvs) if many else ops.stack(dvs, axis=1)
        dx = ops.cast(_times(a.all_gains(), dv), a.current.dtype)
        de = dn = dkeep = None
        if a.encoding is not None:
            de = ops.cast(batch_sum(dx, a.keep), a.encoding.dtype)
        if a.keep is not None:
            dkeep = ops.zeros_like(a.keep)
        if fixed:
            return dx, None, None, de, dkeep
        if a.gated:
            dn = ops.sum(dv * a.all_encoded(), axis=(2, 3))
        elif many:
            dn = _sum_to(dv * a.all_encoded(), a.gain)
        else:
            dn = _sum_to(sum(dvs[t] * a.encoded(t) for t in range(a.steps)), a.gain)
        dm = ops.zeros_like(a.decay) if dm is None else _sum_to(dm, a.decay)
        return dx, dm, dn, de, dkeep

    def join(names, compiled):
        """Forward and backward for the inputs of these names."""

        def inputs(tensors):
            given = dict(zip(names, tensors, strict=True))
            if fixed:
                given["decay"], given["gain"] = constants
            return _Inputs(**given)

        def gradient(tensors, g):
            given = _Inputs(*backward(inputs(tensors), g))._asdict()
            return tuple(given[name] for name in names)

        def spikes(*tensors):
            return forward(inputs(tensors)), tensors

        return with_backward(spikes, gradient, compiled)

    functions = {}

    def joined(*key):
        if key not in functions:
            functions[key] = join(*key)
        return functions[key]

    def call(*args, **kwargs):
        given = {n: v for n, v in _Inputs(*args, **kwargs)._asdict().items() if v is not None}
        # PyTorch's compiler sees a rolled loop unrolled: minutes for hundreds of steps.
        rolled = given["current"].shape[1] > UNROLLED_STEPS
        torch = keras.backend.backend() == "torch"
        alone = compiled and not (rolled and torch)
        # PyTorch has nothing to keep when it compiles nothing, and `torch.compile` wants no change
        # of a dictionary.
        function = join if torch and not alone else joined
        return function(tuple(given), alone)(*given.values())

    return call


def _encode(current, encoding, keep):
    x = ops.cast(current, "float32")
    if encoding is not None:
        e = ops.cast(encoding, "float32")
        x = x + (e if keep is None else keep[..., None, None, None] * e)
    return clip(x, -LARGEST_CURRENT, LARGEST_CURRENT)


def _times(coefficient, values):
    """The product, without a pass over memory where the coefficient is the number 1."""
    one = isinstance(coefficient, float) and coefficient == 1.0
    return values if one else coefficient * values


def _zeros_like_step(x):
    return ops.cast(ops.zeros_like(x[:, 0]), "float32")


def _swap_time(x):
    return ops.swapaxes(x, 0, 1)


def _sum_to(values, coefficient):
    """Sum a tensor (..., C) to the shape (C,) of a coefficient."""
    return row_sum(ops.reshape(values, (-1, coefficient.shape[0])))
