"""Neurons behind batch normalization, against Keras's layer and against NumPy."""

import contextlib

import keras
import numpy as np
import pytest
from keras import ops

from keras_staa.layers import (
    ALIF,
    LIF,
    PLIF,
    STAA,
    STAALIF,
    BatchNormalization,
    PerStep,
    STAANeuron,
)
from keras_staa.ops import affine
from tests.gradients import gradients
from tests.kernels import forget, interpret, small_blocks
from tests.layers.support import randomise

SHAPE = 3, 3, 5, 4, 6
SMOOTH = {"surrogate": "sigmoid", "reset": "soft", "detach_reset": False}
BEHIND = {
    "LIF": lambda: LIF(**SMOOTH),
    "LIF with a gain": lambda: LIF(decay=0.5, gain=0.7, **SMOOTH),
    "LIF that learns": lambda: LIF(learn=True, **SMOOTH),
    "PLIF": lambda: PLIF(surrogate="sigmoid"),
    "ALIF": lambda: ALIF(surrogate="sigmoid"),
    "STAA": lambda: STAA(ratio=2, seed=0),
    "STAALIF": lambda: STAALIF(ratio=2, seed=0, bypass_rate=0.5, **SMOOTH),
    "STAALIF, gates of steps alone": lambda: STAALIF(
        2, context=False, position=None, seed=0, **SMOOTH
    ),
    "STAALIF, encoding alone": lambda: STAALIF(
        2, context=False, step_gate=False, seed=0, bypass_rate=0.5, **SMOOTH
    ),
    "STAALIF, nothing": lambda: STAALIF(
        2, context=False, step_gate=False, position=None, learn=False, seed=0, **SMOOTH
    ),
    "ALIF behind STAA": lambda: STAANeuron(ALIF(surrogate="sigmoid"), ratio=2, seed=0),
}
WAYS = ["plain", "triton", "triton of many blocks", "mosaic", "mosaic of many blocks"]


@contextlib.contextmanager
def taken(way, monkeypatch):
    if way == "plain":
        yield
        return
    if keras.backend.backend() != "jax":
        pytest.skip("The kernels are written for JAX.")
    if "many" in way:
        small_blocks(monkeypatch)
    interpret(monkeypatch, way.split()[0])
    yield
    forget()


def run(kind, behind, training, both=False):
    """Spikes, gradients of the input and of all weights, and the moving averages afterwards."""
    norm = PerStep(kind(momentum=0.8, epsilon=1e-3))
    norm.build(SHAPE)
    behind.build(SHAPE)
    rng = np.random.default_rng(2)
    # Scale, center, mean and variance.
    for variable, low in zip(norm.layer.variables, (0.5, -0.5, -0.5, 0.5), strict=True):
        variable.assign(rng.uniform(low, 1.5, 6))
    norm.layer.gamma.assign(ops.convert_to_numpy(norm.layer.gamma) * [1, -1, 1, 1, -1, 1])
    randomise(behind)
    variables = [*norm.trainable_variables, *behind.trainable_variables]
    moving = [*norm.layer.non_trainable_variables]
    seeds = [(v, v.value) for v in behind.non_trainable_variables]
    x, g = rng.normal(0.5, 1.0, (2, *SHAPE)).astype("float32")

    def call(x, *weights):
        mapping = [*zip(variables, weights, strict=True), *((v, v.value) for v in moving), *seeds]
        with keras.StatelessScope(state_mapping=mapping) as scope:
            y = norm(x, training=training)
            found = behind(y, training=training) if _draws(behind) else behind(y)
            # What else reads the output of batch normalization.
            found = found + 0.3 * y if both else found
        kept.append([scope.get_current_value(v) for v in moving])
        averages = sum(ops.sum(v) for v in kept.pop())
        return ops.concatenate([ops.reshape(found, (-1,)), ops.reshape(averages, (1,))])

    kept = []
    weights = [ops.convert_to_numpy(v) for v in variables]
    # The averages have no gradient.
    return gradients(call, [x, *weights], np.append(g.ravel(), 0.0))


def _draws(layer):
    return isinstance(layer, STAA | STAALIF | STAANeuron)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", BEHIND)
def test_results_are_those_behind_the_layer_of_keras(name, training, way, monkeypatch):
    expected = run(keras.layers.BatchNormalization, BEHIND[name](), training)
    with taken(way, monkeypatch):
        found = run(BatchNormalization, BEHIND[name](), training)
    check(found, expected)


@pytest.mark.parametrize("name", ["LIF", "STAALIF"])
def test_the_output_can_be_read_as_well(name):
    expected = run(keras.layers.BatchNormalization, BEHIND[name](), True, both=True)
    check(run(BatchNormalization, BEHIND[name](), True, both=True), expected)


def check(found, expected):
    np.testing.assert_allclose(found[0], expected[0], rtol=0, atol=1e-5)
    assert np.abs(found[0][:-1]).mean() > 0.05
    assert np.abs(found[1][0]).max() > 0.01
    for got, wanted in zip(found[1], expected[1], strict=True):
        np.testing.assert_allclose(got, wanted, rtol=0, atol=2e-4 * np.abs(wanted).max() + 1e-6)


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="It is known on JAX alone.")
def test_what_a_tensor_is_made_of_is_known_while_a_program_is_traced():
    import jax

    x, scale, shift = np.ones((2, 3), "float32"), np.float32([1, 2, 3]), np.float32([4, 5, 6])
    seen = []

    def program(x):
        y = affine.applied(affine.carried(x, scale, shift))
        seen.append(affine.made_of(y))
        wide = affine.reshaped(y, (1, 2, 3))
        seen.append(affine.made_of(wide).x.shape)
        assert affine.made_of(y + 0) is None
        return y

    before = len(affine._KNOWN)
    np.testing.assert_allclose(jax.jit(program)(x), [[5, 7, 9]] * 2)
    assert len(seen) == 2 and seen[0] is not None and seen[1] == (1, 2, 3)
    del seen[:]
    # Nothing stays of a program that has been traced.
    assert len(affine._KNOWN) == before
