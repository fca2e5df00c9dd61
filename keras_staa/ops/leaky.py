"""The leaky integrate-and-fire neuron: its threshold, its reset, and their gradient."""

import dataclasses
import numbers
from collections.abc import Callable

import keras
from keras import ops

from keras_staa.ops.gradient import is_for_xla
from keras_staa.ops.neuron import Dynamics, spiking
from keras_staa.ops.portable import is_portable
from keras_staa.ops.threshold import against, by_comparison

if keras.backend.backend() == "torch":
    from keras_staa.ops import leaky_in_place


@dataclasses.dataclass(frozen=True)
class Leaky(Dynamics):
    """A spike where V reaches the threshold, then a reset to 0 (hard) or by the threshold (soft).

    Args:
        surrogate: function of `V - threshold` that gives dS/dV.
        threshold: positive float.
        reset: `"hard"` or `"soft"`.
        detach_reset: whether the gradient skips the path through the spike in the reset.

    Source: the paper's neuron equations.
    """

    surrogate: Callable
    threshold: float = 1.0
    reset: str = "hard"
    detach_reset: bool = True

    def __post_init__(self):
        # Made here, because `torch.compile` does not follow NumPy, nor what makes a property once.
        object.__setattr__(self, "fast_form", against(self.threshold))
        object.__setattr__(self, "plain_form", by_comparison(self.threshold))

    @property
    def _at(self):
        return self.plain_form if is_portable() or is_for_xla() else self.fast_form

    def fired(self, v):
        return self._at.fired(v)

    def spikes(self, v, s):
        return self._at.spikes(s, v)

    def after(self, v, s):
        if self.reset == "soft":
            return v - self.threshold * s
        return self._at.silent(v, s, v)

    def in_place(self):
        # A subclass may have another threshold or reset.
        return leaky_in_place.rules(self) if type(self) is Leaky else None

    def potential_gradient(self, g, dh, v, s):
        slope = self.surrogate(v - self.threshold)
        dv = ops.cast(g, "float32") * slope
        if dh is None:
            return dv
        soft = self.reset == "soft"
        if self.detach_reset:
            return dv + (dh if soft else self._at.silent(dh, s, v))
        passed = 1.0 if soft else 1.0 - s
        return dv + dh * (passed - (self.threshold if soft else v) * slope)


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
    dynamics = Leaky(surrogate, threshold, reset, detach_reset)
    pair = {"decay": decay, "gain": gain}
    if all(isinstance(value, numbers.Real) for value in pair.values()):
        constants = tuple(float(value) for value in pair.values())
        return spiking(dynamics, constants)(current)
    channels = current.shape[-1] if len(current.shape) > 2 else 1
    pair = [_of_channels(name, value, channels) for name, value in pair.items()]
    return spiking(dynamics)(current, *pair)


def _of_channels(name, value, channels):
    value = ops.convert_to_tensor(value, "float32")
    if tuple(value.shape) not in ((), (channels,)):
        raise ValueError(
            f"`{name}` must be a number or a tensor of shape ({channels},), the size of the "
            f"current's last axis. Received: a tensor of shape {tuple(value.shape)}"
        )
    return ops.broadcast_to(value, (channels,))
