"""The neuron against the NumPy reference: forward, and the gradients of current, M and N."""

import shutil

import keras
import numpy as np
import pytest
from keras import ops

from keras_staa import surrogates
from keras_staa.ops import Leaky, inductor, lif, spiking
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
    def made(surrogate, reset="soft", kind=Leaky):
        return spiking(kind(surrogate, 0.5, reset))

    class Other(Leaky):
        pass

    first, second = (made(surrogates.Sigmoid(slope=3.0)) for _ in range(2))
    assert first is second
    assert made(surrogates.Sigmoid(slope=2.0)) is not first
    assert made(surrogates.Arctan(slope=3.0)) is not first
    assert made(surrogates.Sigmoid(slope=3.0), "hard") is not first
    assert made(surrogates.Sigmoid(slope=3.0), kind=Other) is not first


def test_a_surrogate_that_has_no_hash():
    class Flat:
        def __eq__(self, other):
            return True

        def __call__(self, u):
            return 2.0 * ops.ones_like(u)

    x = np.array([[0.3, 0.9]], "float32")
    _, (dx,) = gradients(lambda x: lif(x, 0.0, 1.0, Flat()), [x], np.ones_like(x))
    np.testing.assert_array_equal(dx, [[2.0, 2.0]])


def formed(shape, form, reset, how):
    """A neuron in one of its forms as a function of arrays, by itself or made one program."""
    fixed = form == "fixed"
    call = spiking(Leaky(surrogates.Sigmoid(), 1.0, reset), (0.5, 1.0) if fixed else None)
    call = COMPILERS[keras.backend.backend()](call) if how == "compiled" else call
    gains = (*shape[:2], shape[-1]) if form == "gated" else shape[-1:]
    coefficients = [] if fixed else [np.full(shape[-1], 0.5), np.ones(gains)]
    tensors = [ops.convert_to_tensor(c, "float32") for c in coefficients]
    return lambda x: ops.convert_to_numpy(call(ops.convert_to_tensor(x), *tensors))


def _xla(call):
    import tensorflow as tf

    return tf.function(call, jit_compile=True, autograph=False)


def _jit(call):
    import jax

    return jax.jit(call)


COMPILERS = {"jax": _jit, "tensorflow": _xla, "torch": inductor.compiled}
HOW = ["alone", "compiled"]
if keras.backend.backend() == "torch" and not any(map(shutil.which, ("g++", "clang++"))):
    HOW = ["alone"]


ROLLED = pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="PyTorch compiles no rolled loop."
)
STEPS = [(5, how) for how in HOW] + [
    pytest.param(18, how, marks=[ROLLED] if how == "compiled" else []) for how in HOW
]


@pytest.mark.parametrize("steps, how", STEPS)
@pytest.mark.parametrize("form", ["fixed", "learned", "gated"])
@pytest.mark.parametrize("reset", ["hard", "soft"])
def test_a_potential_that_is_no_number_shows(reset, steps, form, how):
    x = np.random.default_rng(0).normal(0.6, 0.8, (2, steps, 3, 3, 19)).astype("float32")
    run = formed(x.shape, form, reset, how)
    clean = run(x)
    assert set(np.unique(clean)) == {0, 1}
    step = 2
    x[1, step, 1, 2, ::4] = np.nan
    got = run(x)
    # From that step on nothing is known of these neurons; of the others all is as it was.
    expected = clean.copy()
    expected[1, step:, 1, 2, ::4] = np.nan
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_no_number_in_low_precision(dtype):
    x = ops.cast(np.array([[[0.2], [np.nan]], [[0.2], [2.0]]], "float32"), dtype)
    spikes = lif(x, 0.5, 1.0, surrogates.Rectangular())
    spikes = ops.convert_to_numpy(ops.cast(spikes, "float32"))
    np.testing.assert_array_equal(spikes[..., 0], [[0, np.nan], [0, 1]])


@pytest.mark.parametrize("steps", [6, 18])
@pytest.mark.parametrize("name", surrogates.SURROGATES)
@pytest.mark.parametrize("detach", [True, False])
@pytest.mark.parametrize("reset", ["hard", "soft"])
def test_infinite_currents_make_finite_gradients(reset, detach, name, steps):
    rng = np.random.default_rng(1)
    x = rng.normal(0.6, 0.8, (3, steps, 4)).astype("float32")
    infinities = rng.choice([0.0, np.inf, -np.inf], x.shape, p=[0.6, 0.2, 0.2]).astype("float32")
    # One after the other, of both signs; a channel without any; and one without memory.
    x[:2, :, :3] += infinities[:2, :, :3]
    decay = np.array([0.5, 0.0, 1.0, 0.3], "float32")
    gain = np.array([1.0, 0.8, 1.2, 1.0], "float32")
    spikes, grads = gradients(
        lambda x, m, n: lif(x, m, n, surrogates.get(name), 1.0, reset, detach),
        [x, decay, gain],
        rng.normal(0, 1, x.shape),
    )
    assert set(np.unique(spikes)) == {0, 1}
    # Where half of the past or none of it counts, the last infinity decides.
    np.testing.assert_array_equal(spikes[..., :2][x[..., :2] == np.inf], 1)
    np.testing.assert_array_equal(spikes[..., :2][x[..., :2] == -np.inf], 0)
    for gradient in grads:
        assert np.isfinite(gradient).all()
    finite = np.delete(x, [0, 1], axis=0)
    expected, _ = reference.lif_forward(finite, decay, gain, 1.0, reset)
    np.testing.assert_array_equal(spikes[2:], expected)


@pytest.mark.parametrize("threshold", [1.0, 0.9, 0.1, 1e-3, 3.3, 1000.0])
def test_the_threshold_is_met_to_the_last_bit(threshold):
    at = np.float32(threshold)
    ends = np.float32([-np.inf, np.inf])
    x = np.array([np.nextafter(at, ends[0]), at, np.nextafter(at, ends[1]), -0.0, 0.0, -at])
    spikes = lif(x[:, None, None], 0.5, 1.0, surrogates.Rectangular(), threshold)
    np.testing.assert_array_equal(ops.convert_to_numpy(spikes)[:, 0, 0], [0, 1, 1, 0, 0, 0])


@pytest.mark.parametrize("decay, gain", [(0.4, "tensor"), ("tensor", 1.2), (0, 1), ("scalar", 1)])
def test_numbers_and_tensors_as_coefficients(decay, gain):
    x = np.random.default_rng(0).normal(0.6, 0.8, (2, 4, 3)).astype("float32")
    given = {"tensor": np.array([0.3, 0.5, 0.9], "float32"), "scalar": np.float32(0.3)}
    names = [c for c in (decay, gain) if isinstance(c, str)]

    def layer(x, *tensors):
        tensors = iter(tensors)
        pair = [next(tensors) if isinstance(c, str) else c for c in (decay, gain)]
        return lif(x, *pair, surrogates.Sigmoid())

    spikes, (dx, *grads) = gradients(layer, [x, *(given[n] for n in names)], np.ones_like(x))
    full = [np.broadcast_to(np.float64(given.get(c, c)), 3) for c in (decay, gain)]
    expected, _ = reference.lif_forward(x, *full)
    np.testing.assert_array_equal(spikes, expected)
    ex, em, en = reference.lif_backward(x, np.ones_like(x), *full, surrogate="sigmoid")
    assert_near(dx, ex, 1e-5)
    wanted = [e for e, c in zip((em, en), (decay, gain), strict=True) if isinstance(c, str)]
    for got, want in zip(grads, wanted, strict=True):
        assert_near(got, want if np.ndim(got) else want.sum(), 1e-5)


@pytest.mark.parametrize("pair", [(np.ones(2, "float32"), 1.0), (0.5, np.ones((1, 3), "float32"))])
def test_coefficients_of_another_shape(pair):
    with pytest.raises(ValueError, match="must be a number or a tensor of shape \\(3,\\)"):
        lif(np.zeros((2, 4, 3), "float32"), *pair, surrogates.Sigmoid())
