"""The adaptive leaky integrate-and-fire neuron as a layer."""

import keras
from keras import ops

from keras_staa import checks
from keras_staa.layers.neuron import Neuron


@keras.saving.register_keras_serializable("keras_staa")
class ALIF(Neuron):
    """Leaky integrate-and-fire neurons whose threshold rises with every spike and falls again.

    `A[t] = threshold + strength * b[t]`, `V[t] = decay * H[t-1] + I[t]`, a spike where
    `V[t] >= A[t]`, then `H[t] = V[t] - A[t] * S[t]` and `b[t+1] = rho * b[t] + (1 - rho) * S[t]`.

    Input and output: (B, T, ...), any rank from (B, T) up, T static. The state is (H, b).

    Args:
        decay: of the potential, in [0, 1].
        adaptation_decay: rho, in [0, 1].
        strength: of the adaptation, a positive float.
        threshold: of a neuron at rest, a positive float.
        surrogate: as in `LIF`.

    Raises:
        ValueError: for an argument outside its range, an input without a time axis, or T unknown.

    Example:

    >>> layer = ALIF(decay=0.5, adaptation_decay=0.5, strength=2.0)
    >>> [int(s) for s in layer(np.full((1, 6), 1.2, "float32"))[0]]
    [1, 0, 1, 0, 1, 0]

    Source: Bellec, Salaj, Subramoney, Legenstein and Maass, NeurIPS 2018,
    https://arxiv.org/abs/1803.09574; their factor of the current is part of I here.
    """

    def __init__(
        self,
        decay=0.9,
        adaptation_decay=0.95,
        strength=1.8,
        threshold=1.0,
        surrogate="rectangular",
        **kwargs,
    ):
        super().__init__(threshold, surrogate, **kwargs)
        self.decay = checks.fraction("decay", decay)
        self.adaptation_decay = checks.fraction("adaptation_decay", adaptation_decay)
        self.strength = checks.positive("strength", strength)

    def initial_state(self, shape):
        return ops.zeros(shape, "float32"), ops.zeros(shape, "float32")

    def step(self, state, drive):
        h, b = state
        threshold = self.threshold + self.strength * b
        v = self.decay * h + drive
        s = self.fire(v - threshold)
        b = self.adaptation_decay * b + (1.0 - self.adaptation_decay) * s
        return s, (v - threshold * s, b)

    def get_config(self):
        return {
            **super().get_config(),
            "decay": self.decay,
            "adaptation_decay": self.adaptation_decay,
            "strength": self.strength,
        }
