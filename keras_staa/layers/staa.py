"""The spatial-temporal attention aggregator."""

import keras
from keras import ops

from keras_staa import checks
from keras_staa.layers.global_context import GlobalContext
from keras_staa.layers.mean_step_attention import MeanStepAttention
from keras_staa.layers.position_encoding import KINDS, PositionEncoding
from keras_staa.layers.step_attention import StepAttention
from keras_staa.ops import affine, enriched, summaries, with_sizes

# Step attention by the argument `step_gate`.
STEP_GATES = {
    True: (StepAttention, False),
    "causal": (StepAttention, True),
    "mean": (MeanStepAttention, False),
    "causal_mean": (MeanStepAttention, True),
}
# What the same values meant before step attention had its present form.
FIRST_FORM = {True: "mean", "causal": "causal_mean"}
CAUSAL = {True: "causal", "mean": "causal_mean"}


def with_step_gate(arguments):
    """Arguments of `STAA`, where older configurations have `steps` for `step_gate`."""
    if "steps" not in arguments or "step_gate" in arguments:
        return arguments
    return {"step_gate" if k == "steps" else k: v for k, v in arguments.items()}


def of_first_form(arguments):
    """Arguments of `STAA` as they were before step attention had its present form."""
    arguments = with_step_gate(arguments)
    step_gate = arguments.get("step_gate", True)
    return {**arguments, "step_gate": FIRST_FORM.get(step_gate, step_gate)}


def of_configuration(config):
    """Return the configuration of a layer with an aggregator as it is written today."""
    return config if "step_units" in config else of_first_form(config)


@keras.saving.register_keras_serializable("keras_staa")
class STAA(keras.layers.Layer):
    """Spatial-temporal attention aggregator: (B, T, H, W, C) currents -> enriched currents.

    Position encoding, then one gate per channel (global context) and one per time step (step
    attention), both from the encoded current: `y = (x + E) * channel_gate * step_gate`. In
    training each step of each sample is bypassed, y = x, with probability `bypass_rate`
    (time-step random dropout); in inference and with `trainable=False` it never is. At the start
    it is the identity but for a sinusoidal encoding.

    Args:
        ratio: reduction of the global context's transform.
        position: `"axial"`, `"full"`, `"sinusoidal"` or None for no encoding.
        context: whether there is a channel gate.
        step_gate: whether there is a step gate (`StepAttention`), or `"causal"` for one that looks
            back only. `"mean"` and `"causal_mean"` are its first form, `MeanStepAttention`.
        bypass_rate: probability in [0, 1); the paper's best is 0.1.
        seed: of the bypass, an integer or None.
        step_units: the hidden units of `StepAttention`.

    Raises:
        ValueError: for an argument outside its range, an input that is not of rank 5, or sizes
            that are not known: `position` needs H and W, `position` and `step_gate` T.

    Example:

    >>> x = np.random.rand(2, 4, 8, 8, 16).astype("float32")
    >>> np.allclose(keras.ops.convert_to_numpy(STAA()(x)), x)
    True

    Source: the paper's aggregator; what is inferred of it is marked in the layers it is made of.
    """

    def __init__(
        self,
        ratio=4,
        position="axial",
        context=True,
        step_gate=True,
        bypass_rate=0.1,
        seed=None,
        step_units=8,
        **kwargs,
    ):
        super().__init__(**kwargs)
        policy = {"dtype": self.dtype_policy}
        self.ratio = checks.positive_int("ratio", ratio)
        self.step_gate = checks.choice("step_gate", step_gate, (False, *STEP_GATES))
        self.step_units = checks.positive_int("step_units", step_units)
        self.bypass_rate = checks.fraction("bypass_rate", bypass_rate, below_one=True)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.compiled = False
        self.position = self.context = self.step_attention = None
        if checks.choice("position", position, (None, *KINDS)) is not None:
            self.position = PositionEncoding(position, **policy)
        if checks.boolean("context", context):
            self.context = GlobalContext(ratio, **policy)
        if step_gate:
            kind, causal = STEP_GATES[step_gate]
            own = {"units": step_units} if kind is StepAttention else {}
            self.step_attention = kind(causal=causal, **own, **policy)

    def build(self, input_shape):
        checks.input_shape(self, input_shape, "bthwc")
        if self.position is not None:
            hint = f"Position encoding {self.position.kind!r} needs it; position=None does not."
            checks.input_shape(self, input_shape, "bTHWC", hint)
        axes = {}
        for part in (self.position, self.context, self.step_attention):
            if part is not None:
                # One made of a configuration gets to know here that it is frozen.
                part.trainable = part.trainable and self.trainable
                part.build(input_shape)
                axes |= part.input_spec.axes
        self.input_spec = keras.layers.InputSpec(ndim=5, axes=axes)

    def compute_output_shape(self, input_shape):
        return input_shape

    def jit(self, enabled=True):
        """Whether the aggregator is compiled by itself: see `keras_staa.jit_compile`."""
        self.compiled = enabled

    def _step_summary(self):
        return None if self.step_attention is None else self.step_attention.summary

    def gates(self, inputs, training=False):
        """Return what the aggregator does to a current, for whatever applies it.

        Args:
            inputs: tensor (B, T, H, W, C).
            training: whether steps are bypassed.

        Returns:
            The current, to be used in place of `inputs`; the gate, float32 (B, T, C) or (B, T, 1)
            or None; the encoding (T, H, W, C) or None; and float32 (B, T), 0 where a step is
            bypassed and 1 where not, or None where no step is.
        """
        inputs = with_sizes(inputs, self.input_spec.axes)
        encoding = gate = keep = None
        if self.position is not None:
            encoding = ops.cast(self.position.encoding(), inputs.dtype)
        # A frozen layer stands still, as batch normalization does.
        if training and self.trainable and self.bypass_rate:
            shape = ops.shape(inputs)[:2]
            draw = keras.random.uniform(shape, seed=self.seed_generator, dtype="float32")
            keep = ops.cast(draw >= self.bypass_rate, "float32")
        query = None if self.context is None else self.context.query()
        inputs, encoding, context, mean = _summaries(
            inputs, query, encoding, self._step_summary(), keep, self.compiled
        )
        if context is not None:
            gate = self.context.gate(context)
        if mean is not None:
            step_gate = self.step_attention.gate(mean)[..., None]
            gate = step_gate if gate is None else gate * step_gate
        return inputs, gate, encoding, keep

    def call(self, inputs, training=False):
        return enriched(*self.gates(inputs, training))

    def initial_state(self, shape):
        """Return what step attention remembers of a stream: see `StepAttention.initial_state`."""
        attention = self.step_attention
        return () if attention is None else attention.initial_state(shape)

    def stream(self, inputs, state, clock):
        """One time step of streams: see `keras_staa.streaming`."""
        encoding = gate = query = None
        if self.position is not None:
            encoding = ops.cast(self.position.at(clock), inputs.dtype)
        if self.context is not None:
            query = self.context.query()
        # Each stream is at a time of its own: streams stand where time steps do.
        inputs, encoding, context, mean = summaries(
            inputs[None], query, encoding, self._step_summary()
        )
        if context is not None:
            gate = self.context.gate(context)
        if mean is not None:
            step_gate, state = self.step_attention.next(mean[0], state, clock)
            step_gate = step_gate[None, :, None]
            gate = step_gate if gate is None else gate * step_gate
        return enriched(inputs, gate, encoding)[0], state

    def get_config(self):
        return {
            **super().get_config(),
            "ratio": self.ratio,
            "position": self.position and self.position.kind,
            "context": self.context is not None,
            "step_gate": self.step_gate,
            "bypass_rate": self.bypass_rate,
            "seed": self.seed,
            "step_units": self.step_units,
        }

    @classmethod
    def from_config(cls, config):
        return super().from_config(of_configuration(config))


def _summaries(inputs, *arguments):
    """`summaries`, of what the inputs are made of where that is known."""
    parts = affine.made_of(inputs)
    if parts is None:
        return summaries(inputs, *arguments)
    x, *found = summaries(parts.x, *arguments, parts.scale, parts.shift)
    if x is not parts.x:
        line = (ops.stop_gradient(part) for part in parts[1:])
        inputs = affine.applied(affine.Affine(x, *line))
    return inputs, *found
