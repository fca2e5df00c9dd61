"""The neuron against the NumPy reference: forward, and the gradients of current, M and N."""

import numpy as np
import pytest
from keras import ops

from keras_staa import surrogates
from keras_staa.ops import lif, neuron
from tests import reference
from tests.gradients import gradients

TOLERANCE = {"float32": 1e-5, "bfloat16": 1e-2}


def rounded(values, dtype):
    """Values as the dtype holds them."""
    return np.asarray(ops.convert_to_numpy(ops.cast(ops.cast(values, dtype), "float32")), "float64")


def assert_near(got, expected, tolerance):
    scale = np.abs(expected).max() + 1e-12
    np.testing.assert_allclose(np.asarray(got, "float64"), expected, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("detach", [True, False])
@pytest.mark.parametrize("reset", ["hard", "soft"])
@pytest.mark.parametrize("name", surrogates.SURROGATES)
def test_spikes_and_gradients(name, reset, detach, dtype):
    check(name, reset, detach, dtype, steps=4)


@pytest.mark.parametrize("steps", [1, 17, 64])
@pytest.mark.parametrize("reset", ["hard", "soft"])
def test_any_number_of_steps(steps, reset):
    check("sigmoid", reset, False, "float32", steps)


def check(name, reset, detach, dtype, steps):
    rng = np.random.default_rng(steps)
    x = rounded(rng.normal(0.6, 0.8, (3, steps, 5, 4)).astype("float32"), dtype)
    g = rounded(rng.normal(0, 1, x.shape).astype("float32"), dtype)
    decay = rng.uniform(0.1, 0.6, 4).astype("float32")
    gain = rng.uniform(0.7, 1.3, 4).astype("float32")

    def layer(x, decay, gain):
        call = lif(ops.cast(x, dtype), decay, gain, surrogates.get(name), 0.9, reset, detach)
        return ops.cast(call, "float32")

    spikes, (dx, dm, dn) = gradients(layer, [x, decay, gain], g)
    expected, potentials = reference.lif_forward(x, decay, gain, 0.9, reset)
    assert np.abs(potentials - 0.9).min() > 1e-6, "a potential too close to call in float32"
    np.testing.assert_array_equal(spikes, expected)
    assert 0.1 < spikes.mean() < 0.9
    ex, em, en = reference.lif_backward(x, g, decay, gain, 0.9, reset, detach, name)
    tolerance = TOLERANCE[dtype]
    assert_near(dx, ex, tolerance)
    assert_near(dm, em, tolerance)
    assert_near(dn, en, tolerance)


def test_fixed_coefficients_agree_with_learned_ones():
    x = np.random.default_rng(0).normal(0.6, 0.8, (2, 4, 3)).astype("float32")
    surrogate = surrogates.Rectangular()
    _, (fixed,) = gradients(lambda x: lif(x, 0.25, 1.0, surrogate), [x], np.ones_like(x))
    coefficients = [np.full(3, 0.25, "float32"), np.ones(3, "float32")]
    _, learned = gradients(
        lambda x, m, n: lif(x, m, n, surrogate), [x, *coefficients], np.ones_like(x)
    )
    np.testing.assert_array_equal(fixed, learned[0])


def test_a_surrogate_of_ones_own():
    x = np.array([[0.3, 0.9]], "float32")
    _, (dx,) = gradients(
        lambda x: lif(x, 0.0, 1.0, lambda u: 3.0 * ops.ones_like(u)), [x], np.ones_like(x)
    )
    np.testing.assert_array_equal(dx, [[3.0, 3.0]])


def test_equal_neurons_are_one_function():
    first, second = (neuron(surrogates.Sigmoid(slope=3.0), 0.5, "soft") for _ in range(2))
    assert first is second
    assert neuron(surrogates.Sigmoid(slope=2.0), 0.5, "soft") is not first
    assert neuron(surrogates.Arctan(slope=3.0), 0.5, "soft") is not first
    assert neuron(surrogates.Sigmoid(slope=3.0), 0.5, "hard") is not first


def test_a_surrogate_that_has_no_hash():
    class Flat:
        def __eq__(self, other):
            return True

        def __call__(self, u):
            return 2.0 * ops.ones_like(u)

    x = np.array([[0.3, 0.9]], "float32")
    _, (dx,) = gradients(lambda x: lif(x, 0.0, 1.0, Flat()), [x], np.ones_like(x))
    np.testing.assert_array_equal(dx, [[2.0, 2.0]])
