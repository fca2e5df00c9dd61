"""What the layers' tests share: random weights, a compiled call, gradients, the reference."""

import keras
import numpy as np
from keras import ops

from keras_staa.layers import MeanStepAttention
from tests.gradients import gradients

# The layers' names of the weights and the reference's.
REFERENCE_NAMES = {
    "position": {"steps": "a", "rows": "b", "columns": "d", "embedding": "e"},
    "context": {
        "key": "w_key",
        "squeeze": "w1",
        "squeeze_bias": "b1",
        "gamma": "ln_gamma",
        "beta": "ln_beta",
        "excite": "w2",
        "excite_bias": "b2",
    },
    "steps": {"squeeze": "u1", "squeeze_bias": "b1", "excite": "u2", "excite_bias": "b2"},
}
REFERENCE_NAMES["mean_steps"] = REFERENCE_NAMES["steps"]

# A hidden unit that no input activates has no gradient to compare.
RANGES = {
    "decay": (0.1, 0.6),
    "gain": (0.7, 1.3),
    "squeeze_bias": (0.2, 1.0),
    "gamma": (0.3, 1.0),
    "beta": (0.2, 1.0),
}


def rounded(values, dtype):
    """Values as the dtype holds them, in float64."""
    values = ops.cast(np.asarray(values, "float32"), dtype)
    return np.asarray(ops.convert_to_numpy(ops.cast(values, "float32")), "float64")


def randomise(layer, seed=0, scale=0.5):
    """Give every weight random values: at the start many are zero and hide what is behind them."""
    rng = np.random.default_rng(seed)
    for v in layer.trainable_variables:
        if v.name in RANGES:
            values = rng.uniform(*RANGES[v.name], v.shape)
        else:
            values = rng.normal(0, scale, v.shape)
        v.assign(values.astype("float32"))
    return layer


def stateless(layer, training=False):
    """A layer as a function of its input and its trainable weights, with a float32 result."""
    fixed = [(v, v.value) for v in layer.non_trainable_variables]

    def call(x, *weights):
        mapping = [*zip(layer.trainable_variables, weights, strict=True), *fixed]
        # `Layer.stateless_call` would pass by `__call__`, and so by mixed precision.
        with keras.StatelessScope(state_mapping=mapping):
            return ops.cast(layer(x, training=training), "float32")

    return call


def compiled(layer, training=False):
    """The layer as a function of arrays; under jit on JAX, where single operations are slow."""
    call = stateless(layer, training)
    if keras.backend.backend() == "jax":
        import jax

        call = jax.jit(call)
    weights = [v.value for v in layer.trainable_variables]
    return lambda x: ops.convert_to_numpy(call(ops.convert_to_tensor(x, "float32"), *weights))


def evaluate(layer, x, training=False):
    return compiled(layer, training)(x)


def layer_gradients(layer, x, cotangent, training=False):
    """Output, gradient of the input, and the gradients of the trainable weights in their order."""
    weights = [ops.convert_to_numpy(v) for v in layer.trainable_variables]
    output, (dx, *grads) = gradients(stateless(layer, training), [x, *weights], cotangent)
    return output, dx, grads


def parts_of(staa):
    """The parts of an aggregator by the reference's names."""
    step = staa.step_attention
    steps = "mean_steps" if isinstance(step, MeanStepAttention) else "steps"
    parts = {"position": staa.position, "context": staa.context, steps: step}
    return {part: layer for part, layer in parts.items() if layer is not None}


def reference_parameters(parts, dtype="float32"):
    """The reference's `params` of a dict of part names ("position", ...) and layers."""
    params = {}
    for part, layer in parts.items():
        names = REFERENCE_NAMES[part]
        values = {names[v.name]: ops.convert_to_numpy(v) for v in layer.trainable_variables}
        if part == "position":
            values = {name: rounded(value, dtype) for name, value in values.items()}
        if part == "context":
            values["w_key"] = rounded(values["w_key"][:, 0], dtype)
        params[part] = values
    return params


def reference_gradients(parts, grads):
    """The reference's gradients of the parts as a list in the order of the layers' weights."""
    return [
        grads[part][REFERENCE_NAMES[part][v.name]].reshape(v.shape)
        for part, layer in parts.items()
        for v in layer.trainable_variables
    ]


def assert_near(got, expected, tolerance, what=""):
    """The error relative to the largest expected value, which must not be zero."""
    scale = np.abs(expected).max()
    assert scale > 1e-3, f"nothing to compare for {what}"
    assert np.shape(got) == np.shape(expected), what
    error = np.abs(np.asarray(got, "float64") - expected).max() / scale
    assert error < tolerance, f"{what}: relative error {error:.1e}"
