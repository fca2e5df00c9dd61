"""Neurons whose potential is linear in the one before and in the current."""

import types

from keras import ops

from keras_staa import checks
from keras_staa.layers.neuron import Neuron
from keras_staa.ops import Leaky, affine, saturated, scale_of, spiking, with_sizes

RESETS = ("hard", "soft")


class LinearNeuron(Neuron):
    """Base layer of neurons with `V[t] = M * H[t-1] + N * I[t]` and a reset behind each spike.

    A subclass gives M and N by `coefficients`. They have one hand-written gradient around the loop,
    which keeps the current only, and an aggregator in front is part of the same pass.

    Args:
        threshold: positive float.
        reset: `"hard"` (to 0) or `"soft"` (by the threshold).
        detach_reset: whether the gradient skips the path through the spike in the reset.
        surrogate: as in `Neuron`.

    Example:

    >>> class Slow(LinearNeuron):
    ...     def coefficients(self):
    ...         return 0.9, 0.5
    >>> [int(s) for s in Slow()(np.full((1, 4), 1.0, "float32"))[0]]
    [0, 0, 1, 0]
    """

    def __init__(
        self,
        threshold=1.0,
        reset="hard",
        detach_reset=True,
        surrogate="rectangular",
        **kwargs,
    ):
        super().__init__(threshold, surrogate, **kwargs)
        self.reset = checks.choice("reset", reset, RESETS)
        self.detach_reset = checks.boolean("detach_reset", detach_reset)
        # Keras would look for layers in a dictionary.
        self._made = types.SimpleNamespace(with_weights=None, constant=None)

    def coefficients(self):
        """M and N: two floats, or two float32 tensors of shape (C,) or ()."""
        raise NotImplementedError(f"`{type(self).__name__}` must have a method `coefficients`.")

    def dynamics(self):
        """Return what `step` does at the threshold, with its gradient: a `Dynamics`."""
        return Leaky(self.surrogate, self.threshold, self.reset, self.detach_reset)

    def _spiking(self, constants=None):
        """Return the dynamics as the attributes say now, kept: not every surrogate has a hash."""
        given = self.dynamics(), constants, self.compiled
        kind = "with_weights" if constants is None else "constant"
        kept = getattr(self._made, kind)
        if kept is None or kept[0] != given:
            kept = given, spiking(*given)
            setattr(self._made, kind, kept)
        return kept[1]

    def step(self, state, drive):
        decay, gain = self.coefficients()
        v = gain * saturated(drive) + decay * state
        s = self.fire(v - self.threshold)
        reset = ops.stop_gradient(s) if self.detach_reset else s
        return s, v - self.threshold * reset if self.reset == "soft" else v * (1.0 - reset)

    def call(self, inputs):
        inputs, line = _made_of(with_sizes(inputs, self.input_spec.axes))
        decay, gain = self.coefficients()
        if isinstance(decay, float):
            return self._spiking((decay, gain))(inputs, **line)
        shape = (inputs.shape[-1] if len(inputs.shape) > 2 else 1,)
        return self._spiking()(inputs, _shaped(decay, shape), _shaped(gain, shape), **line)

    def gated(self, inputs, gate=None, encoding=None, keep=None):
        if gate is None and encoding is None:
            return self(inputs)
        decay, gain = self.coefficients()
        # The gain goes into the gate, which has no axes of space.
        scale = gain if gate is None else gain * scale_of(gate, keep)
        shape = (*ops.shape(inputs)[:2], inputs.shape[-1])
        scale = ops.broadcast_to(ops.cast(scale, "float32"), shape)
        decay = ops.broadcast_to(ops.cast(decay, "float32"), shape[-1:])
        inputs, line = _made_of(inputs)
        return self._spiking()(inputs, decay, scale, encoding, keep, **line)

    def get_config(self):
        return {
            **super().get_config(),
            "reset": self.reset,
            "detach_reset": self.detach_reset,
        }


def _made_of(inputs):
    """Return the current, and scale and shift where it is to be had without them."""
    parts = affine.made_of(inputs)
    if parts is None:
        return inputs, {}
    return parts.x, {"scale": parts.scale, "shift": parts.shift}


def _shaped(coefficient, shape):
    same = tuple(coefficient.shape) == shape
    return coefficient if same else ops.broadcast_to(coefficient, shape)
