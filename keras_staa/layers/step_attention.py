"""Step attention: a gate a time step, from the step's own channels."""

import keras
import numpy as np
from keras import ops

from keras_staa import checks
from keras_staa.initializers import ZEROS, Alternating, Paired
from keras_staa.layers.mean_step_attention import MeanStepAttention
from keras_staa.layers.step_gate import StepGate


@keras.saving.register_keras_serializable("keras_staa")
class StepAttention(StepGate):
    """Scale every time step by how its channels differ from those of the others.

    (B, T, H, W, C) -> the same. With p[t] (C,) the mean of x over space and d[t] the difference of
    p[t] and its mean over the steps, the gates are `2 * sigmoid(U_2 relu(U_1 d[t] + b_1) + b_2)`.
    All steps share the weights, none of which depends on T. The causal form takes the mean over
    the steps so far.

    Hidden units start in pairs of equal inputs and opposite outputs, so the layer starts as the
    identity and every weight has a gradient from the first step on. With T = 1 the gate is the
    learned number `2 * sigmoid(U_2 relu(b_1) + b_2)`. Training and inference are the same.

    Args:
        units: positive integer, the number of hidden units.
        causal: whether the gate of a step may depend on that step and earlier ones only, as
            streaming needs.

    Raises:
        ValueError: for an argument outside its range, or if the input is not of rank 5 or T or C
            are unknown.

    Example:

    >>> x = np.random.rand(2, 4, 8, 8, 16).astype("float32")
    >>> np.allclose(keras.ops.convert_to_numpy(StepAttention()(x)), x)
    True

    Source: the paper's step attention (average pooling, convolution, ReLU, convolution, sigmoid).
    What is pooled and the sizes are inferred; the difference from the mean and the causal form are
    this library's.
    """

    summary = "channels"

    def __init__(self, units=8, causal=False, **kwargs):
        super().__init__(causal, **kwargs)
        self.units = checks.positive_int("units", units)

    def build(self, input_shape):
        checks.input_shape(self, input_shape, "bThwC")
        channels = input_shape[-1]
        self.input_spec = keras.layers.InputSpec(ndim=5, axes={-1: channels})
        self.squeeze = self.add_gate_weight("squeeze", (channels, self.units), Paired())
        self.squeeze_bias = self.add_gate_weight("squeeze_bias", (self.units,), ZEROS)
        self.excite = self.add_gate_weight("excite", (self.units, 1), Alternating(0.5))
        self.excite_bias = self.add_gate_weight("excite_bias", (1,), ZEROS)

    def gate(self, means):
        """Return the step gate of the means of all steps: float32 (B, T, C) -> (B, T)."""
        differences = _differences(ops.shape(means)[1], self.causal)
        return self._gate_of(ops.matmul(differences, means))

    def _gate_of(self, difference):
        hidden = ops.relu(ops.matmul(difference, self.squeeze) + self.squeeze_bias)
        return 2.0 * ops.sigmoid(ops.matmul(hidden, self.excite) + self.excite_bias)[..., 0]

    def initial_state(self, shape):
        """Return what the layer remembers of streams before their first time step.

        Args:
            shape: of the current of one time step, (B, H, W, C).

        Returns:
            Float32 tensor (B, C), the sum of the means of the steps so far.

        Raises:
            ValueError: if the layer is not causal.
        """
        self.check_streams()
        return ops.zeros((shape[0], shape[-1]), "float32")

    def next(self, means, state, clock):
        """Return the gate of each stream's time step, and the state after it.

        Args:
            means: float32 tensor (B, C), the means of the step.
            state: what `initial_state` or the step before returned.
            clock: int32 tensor (B,), the number of the step, from 0.

        Returns:
            Float32 tensors (B,) and (B, C).
        """
        state = state + means
        count = ops.cast(clock + 1, "float32")[:, None]
        return self._gate_of(means - state / count), state

    def get_config(self):
        return {**super().get_config(), "units": self.units}

    @classmethod
    def from_config(cls, config):
        # Configurations from before this form had no `units`.
        if "units" not in config:
            return MeanStepAttention.from_config(config)
        return super().from_config(config)

    def transfer_from(self, source):
        """Take the weights of a layer of another T, or that is causal where this one is not.

        Raises:
            ValueError: if they are those of the first form of step attention.
        """
        found = [tuple(weight.shape) for weight in source.weights]
        if found != [tuple(weight.shape) for weight in self.weights]:
            raise ValueError(
                f"Layer {self.name!r} cannot take weights of the shapes {found}. If they are from "
                "before step attention had its present form, make the network with "
                "`attention={'step_gate': 'mean'}` (or 'causal_mean')."
            )
        self.set_weights([ops.convert_to_numpy(weight) for weight in source.weights])


def _differences(steps, causal):
    """Return the matrix (T, T) that takes the mean over the steps off, or that of the steps so far.

    Example:

    >>> ops.convert_to_numpy(_differences(2, causal=True)).tolist()
    [[0.0, 0.0], [-0.5, 0.5]]
    """
    # Where a program is made for any T, TensorFlow's number of steps is a tensor.
    array = np if isinstance(steps, int) else ops
    means = array.ones((steps, steps))
    means = array.tril(means) if causal else means
    means = means / array.sum(means, axis=1, keepdims=True)
    return ops.cast(array.eye(steps) - means, "float32")
