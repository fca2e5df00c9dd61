"""What one call of a neuron gets, and the current that drives it."""

from typing import Any, NamedTuple

from keras import ops

from keras_staa.ops.affine import value
from keras_staa.ops.saturation import saturated


class Inputs(NamedTuple):
    """What one call of a neuron gets; None for what it does not have."""

    current: Any
    decay: Any = None
    gain: Any = None
    encoding: Any = None
    keep: Any = None
    # By which the current is multiplied, and what is added to it: see `keras_staa.ops.affine`.
    scale: Any = None
    shift: Any = None

    @property
    def gated(self):
        return not isinstance(self.gain, float) and len(self.gain.shape) == 3

    @property
    def steps(self):
        return self.current.shape[1]

    def encoded(self, t):
        """Return I[t] + keep[t] * E[t] in float32."""
        encoding = None if self.encoding is None else self.encoding[t]
        keep = None if self.keep is None else self.keep[:, t]
        return _encode(value(self.current[:, t], self.scale, self.shift), encoding, keep)

    def all_encoded(self):
        """Return the same of all steps."""
        return _encode(value(self.current, self.scale, self.shift), self.encoding, self.keep)

    def gain_at(self, t):
        return self.gain[:, t][:, None, None, :] if self.gated else self.gain

    def all_gains(self):
        return self.gain[:, :, None, None, :] if self.gated else self.gain


def times(coefficient, values):
    """Return the product, without a pass over memory where the coefficient is the number 1."""
    one = isinstance(coefficient, float) and coefficient == 1.0
    return values if one else coefficient * values


def _encode(x, encoding, keep):
    if encoding is not None:
        e = ops.cast(encoding, "float32")
        x = x + (e if keep is None else keep[..., None, None, None] * e)
    return saturated(x)
