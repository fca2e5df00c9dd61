"""Surrogate gradients: their integral, their values, their names and their stored form."""

import copy
import json
import pickle

import keras
import numpy as np
import pytest
from keras import ops

from keras_staa import surrogates
from keras_staa.layers import LIF
from tests import reference
from tests.gradients import gradients

PARAMETERS = [0.5, 1.0, 3.0]
CASES = [(name, value) for name in surrogates.SURROGATES for value in (None, *PARAMETERS)]


def make(name, value):
    kind = surrogates.SURROGATES[name]
    return kind() if value is None else kind(value)


@pytest.mark.parametrize(("name", "value"), CASES)
def test_the_integral_is_one(name, value):
    # The whole line through u = tan(angle), for the heavy tails of the arctangent; midpoint rule.
    cells = 200_000
    angle = (np.arange(cells) + 0.5) / cells * np.pi - np.pi / 2
    slope = ops.convert_to_numpy(make(name, value)(np.tan(angle).astype("float32")))
    integral = (slope.astype("float64") / np.cos(angle) ** 2).mean() * np.pi
    assert abs(integral - 1) < 1e-4


@pytest.mark.parametrize(("name", "value"), CASES)
def test_values(name, value):
    u = np.random.default_rng(0).normal(0, 1.5, 1000).astype("float32")
    got = ops.convert_to_numpy(make(name, value)(u))
    arguments = () if value is None else (value,)
    expected = reference.SURROGATES[name](u, *arguments)
    # Where a sigmoid is close to 1, float32 leaves 1 - s an absolute error of 6e-8.
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def test_the_edge_of_the_rectangle_is_outside():
    got = ops.convert_to_numpy(surrogates.Rectangular(2.0)(np.array([-1, -0.99, 1], "float32")))
    np.testing.assert_array_equal(got, np.array([0, 0.5, 0], "float32"))


@pytest.mark.parametrize("name", surrogates.SURROGATES)
def test_a_name_gives_the_usual_parameter(name):
    usual = {"rectangular": 1.0, "triangular": 1.0, "sigmoid": 4.0, "arctan": 2.0}
    surrogate = surrogates.get(name)
    assert type(surrogate).__name__.lower() == name
    assert list(surrogate.get_config().values()) == [usual[name]]


@pytest.mark.parametrize(("name", "value"), CASES)
def test_the_stored_form_comes_back(name, value):
    surrogate = make(name, value)
    stored = json.loads(json.dumps(surrogates.serialize(surrogate)))
    again = surrogates.get(stored)
    assert type(again) is type(surrogate)
    assert again.get_config() == surrogate.get_config()
    assert repr(again) == repr(surrogate)


@keras.saving.register_keras_serializable("tests")
def steep(u):
    return 3.0 * ops.ones_like(u)


@pytest.mark.parametrize("name", surrogates.SURROGATES)
def test_a_form_written_by_hand(name):
    kind = surrogates.SURROGATES[name]
    form = {"class_name": kind.__name__, "config": {kind.parameter: 2.0}}
    assert surrogates.get(form) == kind(2.0)
    assert LIF(surrogate=form).surrogate == kind(2.0)


def test_a_registered_function_travels_in_a_layer():
    config = json.loads(json.dumps(LIF(surrogate=steep).get_config()))
    assert LIF.from_config(config).surrogate is steep


def test_a_callable_is_taken_as_it_is():
    assert surrogates.get(steep) is steep


@pytest.mark.parametrize("unknown", ["gauss", "Sigmoid", None, 3])
def test_an_unknown_name(unknown):
    with pytest.raises(ValueError) as error:
        surrogates.get(unknown)
    for part in ("`surrogate` must be one of", "arctan", "a callable", f"surrogate={unknown!r}"):
        assert part in str(error.value)


@pytest.mark.parametrize("value", [0, -1.0, "wide", float("inf")])
@pytest.mark.parametrize("name", surrogates.SURROGATES)
def test_a_parameter_that_is_not_positive(name, value):
    kind = surrogates.SURROGATES[name]
    with pytest.raises(ValueError) as error:
        kind(value)
    for part in (f"`{kind.parameter}` must be a positive number", repr(value)):
        assert part in str(error.value)


@pytest.mark.parametrize("name", surrogates.SURROGATES)
def test_a_surrogate_cannot_be_changed(name):
    surrogate = surrogates.get(name)
    before = surrogate.get_config()
    with pytest.raises(AttributeError, match="give the layer another surrogate"):
        setattr(surrogate, surrogate.parameter, 9.0)
    with pytest.raises(AttributeError):
        delattr(surrogate, surrogate.parameter)
    assert surrogate.get_config() == before
    assert copy.deepcopy(surrogate) == pickle.loads(pickle.dumps(surrogate)) == surrogate


def test_what_is_set_on_a_neuron_counts():
    layer = LIF()
    x = np.full((1, 2, 1), 0.6, "float32")
    assert ops.convert_to_numpy(layer(x)).sum() == 0
    layer.threshold = 0.5
    assert ops.convert_to_numpy(layer(x)).sum() == 2
    layer.surrogate = surrogates.Sigmoid(slope=2.0)
    _, (dx,) = gradients(layer, [x], np.array([[[1.0], [0.0]]]))
    np.testing.assert_allclose(dx[0, 0, 0], reference.sigmoid(0.1, 2.0), rtol=1e-5)
