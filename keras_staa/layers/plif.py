"""The parametric leaky integrate-and-fire neuron as a layer."""

import math

import keras
from keras import ops

from keras_staa import checks
from keras_staa.layers.linear_neuron import LinearNeuron


@keras.saving.register_keras_serializable("keras_staa")
class PLIF(LinearNeuron):
    """Leaky integrate-and-fire neurons with one learned time constant for the layer.

    `V[t] = H[t-1] + (I[t] - H[t-1]) / tau`, a spike where `V[t] >= threshold`, then a reset. The
    weight `leak` is learned; 1 / tau is its sigmoid, so that tau stays above 1.

    Input and output: (B, T, ...), any rank from (B, T) up, T static.

    Args:
        time_constant: tau at the start, in time steps, above 1.
        threshold, reset, detach_reset, surrogate: as in `LIF`.

    Raises:
        ValueError: for an argument outside its range, an input without a time axis, or T unknown.

    Example:

    >>> layer = PLIF(time_constant=2.0)
    >>> [int(s) for s in layer(np.full((1, 4), 1.5, "float32"))[0]]
    [0, 1, 0, 1]

    Source: Fang, Yu, Chen, Masquelier, Huang and Tian, ICCV 2021,
    https://arxiv.org/abs/2007.05785
    """

    def __init__(
        self,
        time_constant=2.0,
        threshold=1.0,
        reset="hard",
        detach_reset=True,
        surrogate="rectangular",
        **kwargs,
    ):
        super().__init__(threshold, reset, detach_reset, surrogate, **kwargs)
        self.time_constant = checks.positive("time_constant", time_constant)
        if self.time_constant <= 1.0:
            raise ValueError(
                "`time_constant` must be a number of time steps above 1. "
                f"Received: time_constant={time_constant!r}"
            )

    def build(self, input_shape):
        super().build(input_shape)
        self.leak = self.add_coefficient("leak", -math.log(self.time_constant - 1.0))

    def coefficients(self):
        rate = ops.sigmoid(ops.convert_to_tensor(self.leak))
        return 1.0 - rate, rate

    def get_config(self):
        return {**super().get_config(), "time_constant": self.time_constant}
