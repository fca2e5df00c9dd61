"""What the layers with one gate a time step share."""

import keras

from keras_staa import checks
from keras_staa.ops import modulate, summaries, with_sizes


class StepGate(keras.layers.Layer):
    """Base layer of a gate a time step: (B, T, H, W, C) -> the same.

    A subclass makes the gate of a mean of each step. Its attribute `summary` says of which:
    `"channels"` for the mean over space of each channel, (B, T, C), or `"mean"` for the mean over
    space and channels, (B, T). It gives three methods besides `build`: `gate(summary)`, the gates
    (B, T) of all steps; `initial_state(shape)`; and `next(summary, state, clock)`, the gates (B,)
    of one time step of streams and the state after it.

    Args:
        causal: whether the gate of a step may depend on that step and earlier ones only, as
            streaming needs.
    """

    summary = None

    def __init__(self, causal=False, **kwargs):
        super().__init__(**kwargs)
        self.causal = checks.boolean("causal", causal)

    @property
    def undecayed_weights(self):
        """Weights without weight decay: all, since decay would make the gate a constant."""
        return self.weights

    def add_gate_weight(self, name, shape, initializer):
        """Add a float32 weight: gates work on some numbers a step, where float32 costs nothing."""
        return self.add_weight(
            name=name, shape=shape, initializer=initializer, dtype="float32", autocast=False
        )

    def check_streams(self):
        """Refuse streams of a layer that needs later time steps, by a ValueError."""
        if not self.causal:
            raise ValueError(
                f"Layer {self.name!r} looks at later time steps. Make or load the network with "
                "`causal=True`."
            )

    def stream(self, inputs, state, clock):
        """One time step of streams: see `keras_staa.streaming`."""
        inputs, *_, found = summaries(inputs[None], steps=self.summary)
        gate, state = self.next(found[0], state, clock)
        return modulate(inputs, gate[None, :, None])[0], state

    def compute_output_shape(self, input_shape):
        return input_shape

    def call(self, inputs):
        inputs = with_sizes(inputs, self.input_spec.axes)
        inputs, *_, found = summaries(inputs, steps=self.summary)
        return modulate(inputs, self.gate(found)[..., None])

    def get_config(self):
        return {**super().get_config(), "causal": self.causal}
