"""Layers that add, pass and remove the time axis."""

import inspect

import keras
from keras import ops

from keras_staa import _keras, checks
from keras_staa.ops.affine import reshaped


def flatten_layers(model):
    """Every layer of a model, those inside wrappers, other layers and models included.

    `model.layers` holds the outermost only, such as `PerStep` and not what it wraps.

    Args:
        model: a `keras.Model` or a layer.

    Returns:
        A list of layers, the model itself not among them.

    Example:

    >>> model = keras.Sequential([PerStep(keras.layers.BatchNormalization())])
    >>> for layer in flatten_layers(model):
    ...     if isinstance(layer, keras.layers.BatchNormalization):
    ...         layer.trainable = False
    >>> model.layers[0].layer.trainable
    False
    """
    found = _keras.all_layers(model)
    return [x for x in found if isinstance(x, keras.Layer) and x is not model]


@keras.saving.register_keras_serializable("keras_staa")
class RepeatSteps(keras.layers.Layer):
    """Show the same input at every time step: (B, ...) -> (B, T, ...).

    The input is broadcast, not copied, where the backend allows.

    Args:
        steps: the number of time steps T, a positive integer.

    Raises:
        ValueError: if `steps` is not a positive integer.

    Example:

    >>> RepeatSteps(4)(np.zeros((2, 8, 8, 3))).shape == (2, 4, 8, 8, 3)
    True
    """

    def __init__(self, steps, **kwargs):
        super().__init__(**kwargs)
        self.steps = checks.positive_int("steps", steps)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.steps, *input_shape[1:])

    def call(self, inputs):
        shape = ops.shape(inputs)
        return ops.broadcast_to(inputs[:, None], (shape[0], self.steps, *shape[1:]))

    def get_config(self):
        return {**super().get_config(), "steps": self.steps}


@keras.saving.register_keras_serializable("keras_staa")
class PerStep(keras.layers.Wrapper):
    """Apply a layer to every time step: (B, T, ...) -> (B, T, ...).

    Batch and time are merged into one axis, (B*T, ...), so this is one call of the layer and not
    a loop, unlike `keras.layers.TimeDistributed`; batch normalization inside it has one set of
    statistics over batch, time and space.

    Attributes of the layer inside that the wrapper does not have itself, such as `filters` or
    `gamma`, can be read from the wrapper; `flatten_layers` finds the layer.

    Args:
        layer: a `keras.layers.Layer` for inputs (B, ...). Its dtype policy is the wrapper's too,
            but for a quantization, which is the layer's alone.

    Raises:
        ValueError: if `layer` is not a Keras layer or the input has no time axis.

    Example:

    >>> PerStep(keras.layers.Conv2D(16, 3))(np.zeros((2, 4, 8, 8, 3))).shape == (2, 4, 6, 6, 16)
    True
    """

    def __init__(self, layer, **kwargs):
        if not isinstance(layer, keras.layers.Layer):
            raise ValueError(f"`layer` must be a keras.layers.Layer. Received: layer={layer!r}")
        # The wrapper passes on what the layer computes, so it has no dtype of its own.
        super().__init__(layer, **{**kwargs, "dtype": _unquantized(layer.dtype_policy)})

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            # Names with an underscore are those by which Python and Keras tell objects apart.
            if name.startswith("_") or name == "layer":
                raise
        value = getattr(self.layer, name)
        if inspect.ismethod(value):
            raise AttributeError(f"'PerStep' object has no method {name!r}: call that of `.layer`")
        return value

    def build(self, input_shape):
        checks.input_shape(self, input_shape, "bt...")
        if not self.layer.built:
            self.layer.build((None, *input_shape[2:]))
        self.built = True

    def quantize(self, mode=None, type_check=True, config=None):
        self.layer.quantize(mode, type_check=type_check, config=config)

    def compute_output_shape(self, input_shape):
        inner = self.layer.compute_output_shape((None, *input_shape[2:]))
        return (*input_shape[:2], *inner[1:])

    def call(self, inputs):
        _, steps, *sizes = ops.shape(inputs)
        merged = ops.reshape(inputs, (-1, *sizes))
        outputs = self.layer(merged)
        return reshaped(outputs, (-1, steps, *ops.shape(outputs)[1:]))


def unwrapped(layer):
    """Return the layer that a `PerStep` applies, or the layer itself."""
    return layer.layer if isinstance(layer, PerStep) else layer


def _unquantized(policy):
    """Return the policy under a quantized one, for which Keras wants kernels of the layer."""
    if policy.quantization_mode is None:
        return policy
    return keras.dtype_policies.get(policy.get_config()["source_name"])


@keras.saving.register_keras_serializable("keras_staa")
class MeanOverSteps(keras.layers.Layer):
    """Mean over time: (B, T, ...) -> (B, ...), the read-out of the paper.

    Example:

    >>> MeanOverSteps()(np.ones((2, 4, 10))).shape == (2, 10)
    True
    """

    # The output has no time axis.
    ends_steps = True

    def build(self, input_shape):
        checks.input_shape(self, input_shape, "bt...")

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *input_shape[2:])

    def call(self, inputs):
        return ops.mean(inputs, axis=1)

    def initial_state(self, shape):
        """Return the sum over the time steps of a stream before its first one.

        Args:
            shape: of one time step, (B, ...).
        """
        return ops.zeros(shape, keras.backend.result_type(self.compute_dtype, "float32"))

    def stream(self, inputs, state, clock):
        """Return the mean over the steps of each stream so far: see `keras_staa.streaming`."""
        state = state + ops.cast(inputs, state.dtype)
        count = ops.reshape(ops.cast(clock + 1, state.dtype), (-1, *[1] * (len(inputs.shape) - 1)))
        return ops.cast(state / count, inputs.dtype), state
