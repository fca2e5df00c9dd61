"""The leaky integrate-and-fire neuron as a layer."""

import keras
from keras import ops

from keras_staa import checks
from keras_staa.layers.linear_neuron import LinearNeuron


@keras.saving.register_keras_serializable("keras_staa")
class LIF(LinearNeuron):
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
        super().__init__(threshold, reset, detach_reset, surrogate, **kwargs)
        self.decay = checks.fraction("decay", decay)
        self.gain = checks.positive("gain", gain)
        self.learn = checks.boolean("learn", learn)

    def build(self, input_shape):
        super().build(input_shape)
        if self.learn:
            self.decay_weight = self.add_coefficient("decay", self.decay, input_shape, "learn")
            self.gain_weight = self.add_coefficient("gain", self.gain, input_shape, "learn")

    def coefficients(self):
        if not self.learn:
            return self.decay, self.gain
        return ops.convert_to_tensor(self.decay_weight), ops.convert_to_tensor(self.gain_weight)

    def get_config(self):
        return {
            **super().get_config(),
            "decay": self.decay,
            "gain": self.gain,
            "learn": self.learn,
        }
