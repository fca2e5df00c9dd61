"""The integrate-and-fire neuron as a layer."""

import keras

from keras_staa.layers.linear_neuron import LinearNeuron


@keras.saving.register_keras_serializable("keras_staa")
class IF(LinearNeuron):
    """Integrate-and-fire neurons, which do not leak: `V[t] = H[t-1] + I[t]`.

    A spike where `V[t] >= threshold`, then a reset to 0 (hard) or by the threshold (soft). With the
    soft reset the number of spikes is the sum of the currents over the threshold, rounded down,
    where currents are not negative and at most the threshold.

    Input and output: (B, T, ...), any rank from (B, T) up, T static.

    Args:
        threshold, reset, detach_reset, surrogate: as in `LIF`.

    Example:

    >>> layer = IF(reset="soft")
    >>> [int(s) for s in layer(np.full((1, 5), 0.4, "float32"))[0]]
    [0, 0, 1, 0, 1]
    """

    def coefficients(self):
        return 1.0, 1.0
