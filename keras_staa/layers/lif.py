"""The leaky integrate-and-fire neuron as a layer."""

import keras
from keras import ops

from keras_staa import checks, surrogates
from keras_staa.initializers import Constant
from keras_staa.ops import neuron, scale_of, with_sizes

RESETS = ("hard", "soft")


@keras.saving.register_keras_serializable("keras_staa")
class LIF(keras.layers.Layer):
    """Leaky integrate-and-fire neurons: currents over time to spikes.

    `V[t] = M * H[t-1] + N * I[t]`, a spike where `V[t] >= threshold`, then a reset to 0 (hard) or
    by the threshold (soft). The membrane potential starts at zero in every call and is kept in
    float32 under mixed precision; nothing has to be reset between batches. Training and
    inference are the same.

    Input and output: (B, T, ...), any rank from (B, T) up, T static. A spike is exactly 0 or 1.

    Args:
        decay: M, or its start value where it is learned, in [0, 1].
        gain: N, or its start value where it is learned, positive.
        learn: whether M and N are learned, one value a channel (the last axis).
        threshold: positive float.
        reset: `"hard"` or `"soft"`.
        detach_reset: whether the gradient skips the path through the spike in the reset.
        surrogate: stands in for the derivative of the spike: `"rectangular"`, `"triangular"`,
            `"sigmoid"`, `"arctan"`, an object of `keras_staa.surrogates`, or any callable
            u -> dS/du, u the potential minus the threshold.

    Raises:
        ValueError: for an argument outside its range, an input without a time axis, or T unknown.

    Example:

    >>> layer = LIF(decay=0.5)
    >>> [int(s) for s in layer(np.full((1, 4), 0.8, "float32"))[0]]
    [0, 1, 0, 1]

    Source: the paper's neuron equations; start values are inferred.
    """

    def __init__(
        self,
        decay=0.25,
        gain=1.0,
        learn=False,
        threshold=1.0,
        reset="hard",
        detach_reset=True,
        surrogate="rectangular",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.decay = checks.fraction("decay", decay)
        self.gain = checks.positive("gain", gain)
        self.learn = checks.boolean("learn", learn)
        self.threshold = checks.positive("threshold", threshold)
        self.reset = checks.choice("reset", reset, RESETS)
        self.detach_reset = checks.boolean("detach_reset", detach_reset)
        self.surrogate = surrogates.get(surrogate)
        self.compiled = False
        # Past Keras's bookkeeping, which would look for layers in it.
        object.__setattr__(self, "_made", {})

    def jit(self, enabled=True):
        """Whether the neuron is compiled by itself: see `keras_staa.jit_compile`."""
        self.compiled = enabled

    def _neuron(self, constants=None):
        """The dynamics as the attributes say now, kept: not every surrogate has a hash."""
        dynamics = (self.surrogate, self.threshold, self.reset, self.detach_reset)
        given = (*dynamics, constants, self.compiled)
        kept, made = self._made.get(constants is None, (None, None))
        if kept != given:
            made = neuron(*given)
            self._made[constants is None] = given, made
        return made

    def build(self, input_shape):
        checks.input_shape(self, input_shape, "bT...")
        self.input_spec = keras.layers.InputSpec(ndim=len(input_shape), axes={1: input_shape[1]})
        if self.learn:
            channels = input_shape[-1] if len(input_shape) > 2 else 1
            if channels is None:
                raise ValueError(
                    f"Input of layer '{self.name}' must have a static last axis, because `learn` "
                    f"gives each channel its own values. Received: input_shape={input_shape}"
                )
            if len(input_shape) > 2:
                self.input_spec.axes[-1] = channels
            # An optimizer's steps are smaller than bfloat16 shows.
            kind = {"shape": (channels,), "dtype": "float32", "autocast": False}
            self.decay_weight = self.add_weight(
                name="decay", initializer=Constant(self.decay), **kind
            )
            self.gain_weight = self.add_weight(name="gain", initializer=Constant(self.gain), **kind)

    def compute_output_shape(self, input_shape):
        return input_shape

    def coefficients(self):
        """M and N: two floats, or two float32 tensors (C,) where they are learned."""
        if not self.learn:
            return self.decay, self.gain
        return ops.convert_to_tensor(self.decay_weight), ops.convert_to_tensor(self.gain_weight)

    def call(self, inputs):
        inputs = with_sizes(inputs, self.input_spec.axes)
        if self.learn:
            return self._neuron()(inputs, *self.coefficients())
        return self._neuron((self.decay, self.gain))(inputs)

    def gated(self, inputs, gate=None, encoding=None, keep=None):
        """The neuron behind an aggregator, in one pass over the current.

        Args:
            inputs, gate, encoding, keep: what `STAA.gates` returns.

        Returns:
            The spikes that `call` gives for the aggregator's output.
        """
        if gate is None and encoding is None:
            return self(inputs)
        decay, gain = self.coefficients()
        # The gain goes into the gate, which has no axes of space.
        scale = gain if gate is None else gain * scale_of(gate, keep)
        shape = (*ops.shape(inputs)[:2], inputs.shape[-1])
        scale = ops.broadcast_to(ops.cast(scale, "float32"), shape)
        decay = ops.broadcast_to(ops.cast(decay, "float32"), shape[-1:])
        return self._neuron()(inputs, decay, scale, encoding, keep)

    def get_config(self):
        return {
            **super().get_config(),
            "decay": self.decay,
            "gain": self.gain,
            "learn": self.learn,
            "threshold": self.threshold,
            "reset": self.reset,
            "detach_reset": self.detach_reset,
            "surrogate": surrogates.serialize(self.surrogate),
        }
