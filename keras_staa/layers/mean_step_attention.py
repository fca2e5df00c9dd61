"""Step attention in its first form, from the mean over all channels of each time step."""

import keras
import numpy as np
from keras import ops

from keras_staa import checks
from keras_staa.initializers import ZEROS, glorot_uniform
from keras_staa.layers.step_gate import StepGate

# With fewer hidden units than this a short sequence could not be gated freely.
LEAST_HIDDEN = 4


@keras.saving.register_keras_serializable("keras_staa")
class MeanStepAttention(StepGate):
    """Scale every time step by the means of all steps: (B, T, H, W, C) -> the same.

    With p[t] the mean of x over space and channels, the gates are
    `2 * sigmoid(U_2 relu(U_1 p + b_1) + b_2)`. U_2 and b_2 start at zero, so the layer starts as
    the identity. Training and inference are the same.

    Networks that were made before `StepAttention` had its present form have this one. The mean
    over all channels hides what a single channel says of a step: use `StepAttention` in new
    networks.

    Args:
        causal: whether the gate of a step may depend on that step and earlier ones only, as
            streaming needs.

    Raises:
        ValueError: if the input is not of rank 5 or has another T than the layer was built with.

    Example:

    >>> x = np.random.rand(2, 4, 8, 8, 16).astype("float32")
    >>> np.allclose(keras.ops.convert_to_numpy(MeanStepAttention()(x)), x)
    True

    Source: the paper's step attention, as it was first inferred; the causal form is this library's.
    """

    summary = "mean"
    # A stream ends after the time steps that the layer was built with.
    bounds_steps = True

    def build(self, input_shape):
        checks.input_shape(self, input_shape, "bThwc")
        steps = input_shape[1]
        self.input_spec = keras.layers.InputSpec(ndim=5, axes={1: steps})
        hidden = max(steps, LEAST_HIDDEN)
        self.squeeze = self.add_gate_weight("squeeze", (steps, hidden), glorot_uniform())
        self.squeeze_bias = self.add_gate_weight("squeeze_bias", (hidden,), ZEROS)
        self.excite = self.add_gate_weight("excite", (hidden, steps), ZEROS)
        self.excite_bias = self.add_gate_weight("excite_bias", (steps,), ZEROS)

    def masks(self):
        """For each hidden unit the steps it may read and those it may act on, as 0 and 1.

        Every hidden unit belongs to one step: it reads that step and earlier ones and acts on
        that step and later ones.
        """
        steps, hidden = self.squeeze.shape
        owner = np.arange(hidden) * steps // hidden
        reads = np.arange(steps)[:, None] <= owner[None, :]
        acts = owner[:, None] <= np.arange(steps)[None, :]
        return reads.astype("float32"), acts.astype("float32")

    def gate(self, mean):
        """Return the step gate of the mean of each step: float32 tensors (B, T) -> (B, T)."""
        squeeze, excite = (ops.convert_to_tensor(w) for w in (self.squeeze, self.excite))
        if self.causal:
            reads, acts = (ops.convert_to_tensor(mask) for mask in self.masks())
            squeeze, excite = squeeze * reads, excite * acts
        hidden = ops.relu(ops.matmul(mean, squeeze) + self.squeeze_bias)
        return 2.0 * ops.sigmoid(ops.matmul(hidden, excite) + self.excite_bias)

    def initial_state(self, shape):
        """Return what the layer remembers of streams before their first time step.

        Args:
            shape: of the current of one time step, (B, H, W, C).

        Returns:
            Float32 tensor (B, T), the means of the steps so far.

        Raises:
            ValueError: if the layer is not causal.
        """
        self.check_streams()
        return ops.zeros((shape[0], self.squeeze.shape[0]), "float32")

    def next(self, mean, state, clock):
        """Return the gate of each stream's time step, and the state after it.

        Args:
            mean: float32 tensor (B,), the mean of the step.
            state: what `initial_state` or the step before returned.
            clock: int32 tensor (B,), the number of the step, from 0.

        Returns:
            Float32 tensors (B,) and (B, T).
        """
        now = ops.one_hot(clock, self.squeeze.shape[0], dtype="float32")
        state = state + now * mean[:, None]
        # Later steps are zero in the state, and masked.
        return ops.sum(self.gate(state) * now, axis=1), state

    def transfer_from(self, source):
        """Take the weights of a layer built for another T, or that is causal where this one is not.

        Steps are matched to the nearest in time; a weight that reads a step is shared out among
        the steps that stand for it. Hidden units beyond the source's keep their start values.
        """
        squeeze, squeeze_bias, excite, excite_bias = (
            np.array(ops.convert_to_numpy(w)) for w in source.weights
        )
        if getattr(source, "causal", False) and not self.causal:
            # What the masks hide has never been trained.
            reads, acts = source.masks()
            squeeze, excite = squeeze * reads, excite * acts
        old, new = excite_bias.shape[0], self.excite_bias.shape[0]
        nearest = np.arange(new) * old // new
        shares = np.bincount(nearest, minlength=old)[nearest][:, None]
        kept = min(squeeze_bias.shape[0], self.squeeze_bias.shape[0])
        own = [np.array(ops.convert_to_numpy(w)) for w in self.weights]
        own[0][:, :kept] = squeeze[nearest, :kept] / shares
        own[1][:kept] = squeeze_bias[:kept]
        own[2][:kept] = excite[:kept][:, nearest]
        own[3][:] = excite_bias[nearest]
        self.set_weights(own)
