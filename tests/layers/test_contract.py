"""What every layer must do as a Keras layer, whatever it computes; and the layers of time."""

import inspect
import json
import re

import keras
import numpy as np
import pytest
from keras import ops

from keras_staa import layers, surrogates
from keras_staa.layers import (
    ALIF,
    LIF,
    STAA,
    STAALIF,
    Conv2D,
    GlobalContext,
    MeanOverSteps,
    MeanStepAttention,
    PerStep,
    RepeatSteps,
    STAANeuron,
)
from keras_staa.layers import PositionEncoding as Position
from keras_staa.layers import StepAttention as Steps
from tests import reference
from tests.layers.support import evaluate, randomise

BACKEND = keras.backend.backend()
STEPS = [1, 4, 17, 64]
IMAGE = (4, 3, 4)
# The layers whose input has no time axis.
OF_IMAGES = ("BatchNormalization", "Conv2D", "RepeatSteps")

AGGREGATOR = {
    "ratio": 1,
    "position": "full",
    "context": True,
    "step_gate": "causal",
    "bypass_rate": 0.3,
    "seed": 3,
    "step_units": 6,
}
NEURON = {
    "decay": 0.4,
    "gain": 1.2,
    "learn": True,
    "threshold": 0.7,
    "reset": "soft",
    "detach_reset": False,
    "surrogate": surrogates.Sigmoid(slope=2.0),
}


def arguments(name, steps=4):
    """Arguments for each layer, all of them other than the defaults."""
    fixed = {name: NEURON[name] for name in ("threshold", "reset", "detach_reset", "surrogate")}
    return {
        "ALIF": {"decay": 0.5, "adaptation_decay": 0.6, "strength": 0.9, "threshold": 0.7},
        "IF": fixed,
        "LIF": NEURON,
        "PLIF": {**fixed, "time_constant": 3.0},
        "STAANeuron": {**AGGREGATOR, "neuron": ALIF(decay=0.5, threshold=0.7)},
        "STAA": AGGREGATOR,
        "STAALIF": {**AGGREGATOR, **NEURON, "learn": False, "context": False},
        "BatchNormalization": {"momentum": 0.5, "epsilon": 0.01},
        "Conv2D": {"filters": 6, "kernel_size": [2, 3], "strides": [2, 1], "padding": "same"},
        "GlobalContext": {"ratio": 1},
        "MeanOverSteps": {},
        "MeanStepAttention": {"causal": True},
        "PerStep": {"layer": Conv2D(6, 3, strides=2)},
        "PositionEncoding": {"kind": "full"},
        "RepeatSteps": {"steps": steps},
        "StepAttention": {"causal": True, "units": 6},
    }[name]


def make(name, steps=4, **more):
    """A layer with arguments and the shape of one input to it."""
    shape = IMAGE if name in OF_IMAGES else (steps, *IMAGE)
    return getattr(layers, name)(**arguments(name, steps), **more), shape


def built(name, steps=4, **more):
    layer, shape = make(name, steps, **more)
    layer.build((None, *shape))
    return randomise(layer, seed=1), shape


def images(samples, shape, seed=2):
    return np.random.default_rng(seed).normal(0.5, 1, (samples, *shape)).astype("float32")


def without_build(config):
    """Whether a wrapped layer is built yet is no argument of the wrapper."""
    return {
        name: without_build(value) if isinstance(value, dict) else value
        for name, value in config.items()
        if name != "build_config"
    }


every_layer = pytest.mark.parametrize(
    "name",
    [
        name
        for name in layers.__all__
        if inspect.isclass(getattr(layers, name)) and name not in ("LinearNeuron", "Neuron")
    ],
)


@every_layer
def test_the_config_holds_every_argument_and_gives_the_layer_back(name):
    layer, shape = built(name)
    config = json.loads(json.dumps(layer.get_config()))
    signature = inspect.signature(type(layer).__init__).parameters
    assert signature.keys() - {"self", "kwargs"} <= config.keys()
    for argument, value in arguments(name).items():
        if argument not in ("surrogate", "layer", "neuron"):
            assert config[argument] == value

    # Keras' wrappers take their layer out of the dictionary they are given.
    copy = type(layer).from_config(dict(config))
    again = json.loads(json.dumps(copy.get_config()))
    assert without_build(again) == without_build(config)
    copy.build((None, *shape))
    copy.set_weights(layer.get_weights())
    x = images(2, shape)
    output = evaluate(layer, x)
    np.testing.assert_array_equal(evaluate(copy, x), output)
    assert (output[0] != output[1]).any()


@pytest.mark.parametrize("learn", [False, True])
@pytest.mark.parametrize("part", ["position", "context", "step_gate"])
def test_parts_that_are_off_stay_off(part, learn):
    off = {"position": None}.get(part, False)
    layer = STAALIF.from_config(STAALIF(**{part: off}, learn=learn).get_config())
    layer.build((None, 4, *IMAGE))
    names = {"position": "position", "context": "context", "step_gate": "step_attention"}
    for other, attribute in names.items():
        assert (getattr(layer.staa, attribute) is None) == (other == part)
    assert len(layer.lif.weights) == 2 * learn


@every_layer
def test_the_registered_name(name):
    assert keras.saving.get_registered_name(getattr(layers, name)) == f"keras_staa>{name}"


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@every_layer
def test_the_symbolic_output_is_that_of_a_call(name, policy):
    layer, shape = make(name, dtype=policy)
    symbolic = layer(keras.Input(shape))
    output = layer(ops.convert_to_tensor(images(3, shape)))
    assert symbolic.shape == (None, *output.shape[1:])
    assert layer.compute_output_shape((3, *shape)) == tuple(output.shape)
    assert symbolic.dtype == layer.compute_dtype
    assert keras.backend.standardize_dtype(output.dtype) == layer.compute_dtype


@every_layer
def test_in_sequential_and_functional_models(name):
    layer, shape = built(name)
    x = images(3, shape)
    expected = evaluate(layer, x)
    inputs = keras.Input(shape)
    for model in (keras.Sequential([layer]), keras.Model(inputs, layer(inputs))):
        got = model.predict(x, verbose=0)
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("steps", STEPS)
@every_layer
def test_a_sample_does_not_depend_on_its_batch(name, steps):
    """Batches of 2, 2 and 1, and of 1, against all five samples at once."""
    layer, shape = built(name, steps)
    x = images(5, shape)
    model = keras.Sequential([keras.Input(shape), layer])
    whole = model.predict(x, batch_size=5, verbose=0)
    assert whole.shape == layer.compute_output_shape((5, *shape))
    for size in (1, 2):
        got = model.predict(x, batch_size=size, verbose=0)
        np.testing.assert_allclose(got, whole, rtol=1e-5, atol=1e-6)


def trainer(name, steps, **options):
    layer, shape = make(name, steps)
    model = keras.Sequential(
        [keras.Input(shape), layer, keras.layers.Flatten(), keras.layers.Dense(1)]
    )
    randomise(model, seed=1)
    model.compile(keras.optimizers.SGD(0.01), "mse", **options)
    return model, images(5, shape)


def trained(model):
    return [np.array(ops.convert_to_numpy(v)) for v in model.trainable_variables]


needs_xla = pytest.mark.skipif(BACKEND == "torch", reason="Keras compiles nothing on PyTorch")


@pytest.mark.parametrize("steps", STEPS)
@every_layer
def test_fit_with_a_partial_batch(name, steps):
    """Five samples in batches of two, compiled by XLA where there is XLA."""
    model, x = trainer(name, steps, jit_compile=BACKEND != "torch")
    before = trained(model)
    model.fit(x, np.ones((5, 1), "float32"), batch_size=2, shuffle=False, verbose=0)
    # With a single step the learned decay has no past to weigh, and the step gate no difference.
    idle = re.compile(r"/decay$|step_attention.*/squeeze$" if steps == 1 else "nothing")
    for v, old in zip(model.trainable_variables, before, strict=True):
        new = ops.convert_to_numpy(v)
        assert np.isfinite(new).all(), v.path
        expected = name != "MeanStepAttention" and bool(idle.search(v.path))
        assert (new != old).any() != expected, v.path


@needs_xla
@every_layer
def test_compiled_training_is_that_of_plain_calls(name):
    weights = []
    for compiled in (True, False):
        model, x = trainer(name, 4, jit_compile=compiled)
        for layer in model._flatten_layers():
            if isinstance(layer, STAA):
                # XLA draws other random numbers than TensorFlow does.
                layer.bypass_rate = 0.0
        model.train_on_batch(x[:3], np.ones((3, 1), "float32"))
        weights.append(model.get_weights())
    for got, expected in zip(*weights, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


@pytest.fixture
def mixed():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy(before)


NEURONS = {
    "lif": lambda: LIF(decay=0.3, gain=1.003, learn=True, threshold=1.002),
    "lif-fixed": lambda: LIF(decay=0.3, gain=1.003, threshold=1.002),
    "staalif": lambda: STAALIF(2, decay=0.3, gain=1.003, threshold=1.002),
}


@pytest.mark.parametrize("name", NEURONS)
def test_the_neuron_under_mixed_precision(mixed, name):
    layer = NEURONS[name]()
    x = images(3, (4, *IMAGE))
    spikes = layer(ops.convert_to_tensor(x))
    assert keras.backend.standardize_dtype(spikes.dtype) == "bfloat16"
    spikes = ops.convert_to_numpy(ops.cast(spikes, "float32"))
    assert set(np.unique(spikes)) == {0.0, 1.0}
    for v in layer.weights:
        if v.name in ("decay", "gain"):
            assert v.dtype == "float32"
            assert np.isin(ops.convert_to_numpy(v), np.float32([0.3, 1.003])).all()
    # In bfloat16 the gain 1.003 is 1, and a current of 1 stays below the threshold.
    assert ops.convert_to_numpy(ops.cast(layer(np.ones_like(x)), "float32")).min() == 1


@every_layer
def test_training_under_mixed_precision(mixed, name):
    model, x = trainer(name, 4)
    before = trained(model)
    model.fit(x, np.ones((5, 1), "float32"), batch_size=2, shuffle=False, verbose=0)
    for v, old in zip(model.trainable_variables, before, strict=True):
        assert v.dtype == "float32"
        assert np.isfinite(ops.convert_to_numpy(v)).all()
        assert (ops.convert_to_numpy(v) != old).any(), v.path


@pytest.mark.parametrize("shape", [(4,), (4, 6), (4, 5, 6), (4, 3, 3, 2)])
def test_a_neuron_takes_any_rank(shape):
    layer = LIF(learn=True, decay=0.4, gain=1.2)
    layer.build((None, *shape))
    x = images(3, shape)
    expected, _ = reference.lif_forward(x, np.float32(0.4), np.float32(1.2))
    np.testing.assert_array_equal(evaluate(layer, x), expected)
    assert set(np.unique(expected)) == {0.0, 1.0}


# The layers of time itself.


def test_repeat_steps_shows_the_same_at_each_step():
    x = images(2, IMAGE)
    np.testing.assert_array_equal(evaluate(RepeatSteps(3), x), np.stack([x, x, x], axis=1))


def test_mean_over_steps():
    x = images(2, (5, *IMAGE))
    np.testing.assert_allclose(evaluate(MeanOverSteps(), x), x.mean(1), rtol=1e-5, atol=1e-6)


def test_per_step_is_the_layer_at_each_step():
    inner = keras.layers.Conv2D(6, 3, strides=2)
    layer = PerStep(inner)
    x = images(2, (5, *IMAGE))
    layer.build(x.shape)
    expected = [evaluate(inner, x[:, t]) for t in range(5)]
    np.testing.assert_allclose(evaluate(layer, x), np.stack(expected, 1), rtol=1e-5, atol=1e-6)


def test_normalization_in_per_step_has_one_set_of_statistics():
    layer = PerStep(keras.layers.BatchNormalization(epsilon=0.0))
    x = images(4, (5, *IMAGE)) * np.arange(1, 6).reshape(5, 1, 1, 1).astype("float32")
    layer.build(x.shape)
    axes = (0, 1, 2, 3)
    expected = (x - x.mean(axes)) / x.std(axes)
    np.testing.assert_allclose(evaluate(layer, x, training=True), expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(evaluate(layer, x), x, rtol=1e-5)


@pytest.mark.parametrize("kind", [GlobalContext, Steps, MeanStepAttention, Position, STAA, STAALIF])
def test_parts_use_the_policy_of_the_whole(kind):
    layer = kind(dtype="mixed_bfloat16")
    layer.build((None, 4, *IMAGE))
    assert {part.compute_dtype for part in layer._flatten_layers()} == {"bfloat16"}


@pytest.mark.parametrize("whole", [STAALIF, STAANeuron])
def test_the_arguments_of_the_parts_are_those_of_the_whole(whole):
    """In the order and with the default values of the parts, but that STAALIF learns."""

    def parameters(layer):
        found = list(inspect.signature(layer).parameters.values())
        return [p for p in found if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]

    parts = parameters(STAA) + (parameters(LIF) if whole is STAALIF else [])
    expected = [(p.name, True if p.name == "learn" else p.default) for p in parts]
    assert [(p.name, p.default) for p in parameters(whole) if p.name != "neuron"] == expected
