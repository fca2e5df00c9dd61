"""The base of all neurons: currents over time to spikes, given the equations of one step."""

import keras
from keras import ops

from keras_staa import checks, surrogates
from keras_staa.initializers import Constant
from keras_staa.ops import enriched, over_steps, saturated, spike, with_sizes


class Neuron(keras.layers.Layer):
    """Base layer of neurons: a subclass gives the equations of one time step.

    `step` is called once for each time step, with the state that the last one left. Its gradient
    comes from automatic differentiation, through `fire` by the surrogate. The loop over time, the
    start, the dtype and the way an aggregator drives the neuron are the base's. The state lives
    inside one call: nothing has to be reset between batches. `step` must not draw random numbers.

    Input and output: (B, T, ...), any rank from (B, T) up, T static. The state and all arithmetic
    are float32 under mixed precision; the spikes have the dtype of the input.

    Args:
        threshold: positive float.
        surrogate: stands in for the derivative of the spike: `"rectangular"`, `"triangular"`,
            `"sigmoid"`, `"arctan"`, an object of `keras_staa.surrogates`, or any callable
            u -> dS/du, u the potential minus the threshold.

    Raises:
        ValueError: for an argument outside its range, an input without a time axis, or T unknown.

    Example:

    >>> class Perfect(Neuron):
    ...     def step(self, state, drive):
    ...         v = state + drive
    ...         s = self.fire(v - self.threshold)
    ...         return s, v - self.threshold * s
    >>> [int(s) for s in Perfect()(np.full((1, 4), 0.8, "float32"))[0]]
    [0, 1, 1, 1]
    """

    def __init__(self, threshold=1.0, surrogate="rectangular", **kwargs):
        super().__init__(**kwargs)
        self.threshold = checks.positive("threshold", threshold)
        self.surrogate = surrogates.get(surrogate)
        self.compiled = False

    def jit(self, enabled=True):
        """Whether a hand-written gradient is compiled by itself: see `keras_staa.jit_compile`."""
        self.compiled = enabled

    def build(self, input_shape):
        checks.input_shape(self, input_shape, "bT...")
        self.input_spec = keras.layers.InputSpec(ndim=len(input_shape), axes={1: input_shape[1]})

    def add_coefficient(self, name, value, input_shape=None, argument=None):
        """Add a trainable weight: call it in `build`, behind `super().build(input_shape)`.

        Args:
            name: of the weight.
            value: float, its start value.
            input_shape: None for one value for the layer; the shape of the input for one value a
                channel, the last axis.
            argument: the layer's argument that asks for it, named where there is no such axis.

        Returns:
            A float32 variable of shape () or (C,).
        """
        shape = ()
        if input_shape is not None:
            shape = (input_shape[-1] if len(input_shape) > 2 else 1,)
            if None in shape:
                raise ValueError(
                    f"Input of layer '{self.name}' must have a static last axis, because "
                    f"`{argument or name}` gives each channel its own values. "
                    f"Received: input_shape={input_shape}"
                )
            if len(input_shape) > 2:
                self.input_spec.axes[-1] = shape[0]
        # An optimizer's steps are smaller than bfloat16 shows.
        kind = {"shape": shape, "dtype": "float32", "autocast": False}
        return self.add_weight(name=name, initializer=Constant(value), **kind)

    @property
    def undecayed_weights(self):
        """Weights without weight decay: all coefficients, which decay would pull to zero."""
        return self.weights

    def initial_state(self, shape):
        """Return the state before the first time step.

        Args:
            shape: of the current of one time step, (B, ...).

        Returns:
            A float32 tensor, or a tuple of them: zeros of this shape, unless a subclass says other.
        """
        return ops.zeros(shape, "float32")

    def step(self, state, drive):
        """One time step: the equations of the neuron.

        Args:
            state: what `initial_state` or the step before returned.
            drive: float32 tensor (B, ...), the input current.

        Returns:
            Spikes (B, ...) and the state after the step, in the structure and shapes of `state`.
        """
        raise NotImplementedError(f"`{type(self).__name__}` must have a method `step`.")

    def stream(self, inputs, state, clock):
        """One time step of streams: see `keras_staa.streaming`."""
        spikes, state = self.step(state, saturated(inputs))
        return ops.cast(spikes, inputs.dtype), state

    def fire(self, u):
        """Spikes where u, the potential minus the threshold, is 0 or more; dS/du by surrogate."""
        return spike(u, self.surrogate)

    def compute_output_shape(self, input_shape):
        return input_shape

    def call(self, inputs):
        inputs = with_sizes(inputs, self.input_spec.axes)
        drive = saturated(inputs)
        variables = [v for v in self.weights if keras.backend.is_float_dtype(v.dtype)]

        # Weights go in as tensors, so that a rolled loop has their gradient.
        def step(state, drive, weights):
            mapping = list(zip(variables, weights, strict=True))
            with keras.StatelessScope(state_mapping=mapping):
                return self.step(state, drive)

        shape = ops.shape(drive)
        state = self.initial_state((shape[0], *shape[2:]))
        weights = [ops.convert_to_tensor(v) for v in variables]
        return ops.cast(over_steps(step, state, drive, weights), inputs.dtype)

    def gated(self, inputs, gate=None, encoding=None, keep=None):
        """Return the neuron behind an aggregator.

        Args:
            inputs, gate, encoding, keep: what `STAA.gates` returns.

        Returns:
            The spikes that `call` gives for the aggregator's output.
        """
        return self(enriched(inputs, gate, encoding, keep))

    def get_config(self):
        return {
            **super().get_config(),
            "threshold": self.threshold,
            "surrogate": surrogates.serialize(self.surrogate),
        }
