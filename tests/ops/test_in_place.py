"""The neuron in place, on a CPU with PyTorch, gives what the plain form gives."""

import itertools

import keras
import numpy as np
import pytest

from keras_staa import surrogates
from keras_staa.layers import LIF
from keras_staa.ops import Leaky, lif, spiking

if keras.backend.backend() != "torch":
    pytest.skip("Operations in place are PyTorch's.", allow_module_level=True)

import torch

from keras_staa.ops import in_place, leaky_in_place

DTYPES = {"float32": 1e-5, "bfloat16": 1e-2, "float16": 2e-3}
KINDS = {
    "rectangular": surrogates.Rectangular(),
    "wide": surrogates.Rectangular(2.7),
    "triangular": surrogates.Triangular(0.8),
    "sigmoid": surrogates.Sigmoid(),
}
FORMS = {
    "default": (0.25, 1.0),
    "constant": (0.3, 1.2),
    "without memory": (0.0, 1.0),
    "learned": None,
    "gated": None,
    "encoded": None,
    "bypassed": None,
}


class Plain(Leaky):
    """Not known to work in place."""


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(in_place, "STEP", 40)
    monkeypatch.setattr(in_place, "LEAST", 20)
    monkeypatch.setattr(in_place, "POTENTIALS", 150)


def given(form, x, rng):
    """Return the tensors of a form besides the current, those with a gradient first."""
    batch, steps, *space, channels = x.shape

    def uniform(*shape):
        return torch.tensor(rng.uniform(0.4, 1.4, shape), dtype=torch.float32)

    if FORMS[form] is not None:
        return {}
    made = {"decay": uniform(channels) * 0.5, "gain": uniform(channels)}
    if form != "learned":
        made["gain"] = uniform(batch, steps, channels)
    if form in ("encoded", "bypassed"):
        made["encoding"] = (uniform(steps, *space, channels) - 0.9).to(x.dtype)
    if form == "bypassed":
        made["keep"] = torch.tensor(rng.uniform(size=(batch, steps)) > 0.4, dtype=torch.float32)
    return made


def outcome(dynamics, form, x, g, tensors):
    """Return the spikes and the gradients."""
    x = x.clone().requires_grad_()
    tensors = {k: v.clone().requires_grad_(k in ("decay", "gain")) for k, v in tensors.items()}
    spikes = spiking(dynamics, FORMS[form])(x, **tensors)
    spikes.backward(g)
    return spikes.detach(), [v.grad for v in (x, *tensors.values()) if v.requires_grad]


def both(form, arguments, x, seed=0):
    """Return what the plain form and the one in place give."""
    rng = np.random.default_rng(seed)
    tensors = given(form, x, rng)
    g = torch.tensor(rng.normal(size=x.shape), dtype=torch.float32).to(x.dtype)
    return [outcome(kind(*arguments), form, x, g, tensors) for kind in (Plain, Leaky)]


def currents(steps, dtype, seed=0, shape=(2, 3, 5)):
    values = np.random.default_rng(seed).normal(0.6, 0.8, (3, steps, *shape))
    return torch.tensor(values, dtype=torch.float32).to(getattr(torch, dtype))


def assert_equal(plain, fast, dtype):
    assert fast[0].dtype == plain[0].dtype
    np.testing.assert_array_equal(fast[0].float(), plain[0].float())
    for got, want in zip(fast[1], plain[1], strict=True):
        assert got.dtype == want.dtype and got.shape == want.shape
        tolerance = DTYPES[dtype] if got.dtype == getattr(torch, dtype) else 1e-5
        scale = float(want.float().abs().max()) + 1e-6
        np.testing.assert_allclose(got.float(), want.float(), rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("steps", [1, 2, 4, 17])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_same_spikes_and_gradients(dtype, steps, form):
    x = currents(steps, dtype)
    cases = itertools.product(KINDS, ("hard", "soft"), (True, False))
    for kind, reset, detach in itertools.islice(cases, 0, None, 3 if steps > 4 else 1):
        plain, fast = both(form, (KINDS[kind], 0.9, reset, detach), x)
        assert 0 < plain[0].float().mean() < 1
        assert_equal(plain, fast, dtype)


@pytest.mark.parametrize("form", FORMS)
def test_the_plain_form_is_not_called(form, monkeypatch):
    x = currents(4, "bfloat16")
    monkeypatch.setattr(Leaky, "fired", None)
    tensors = given(form, x, np.random.default_rng(0))
    outcome(Leaky(KINDS["rectangular"]), form, x, torch.ones_like(x), tensors)


@pytest.mark.parametrize("shape", [(), (5,), (40, 3)])
@pytest.mark.parametrize("steps", [1, 5])
@pytest.mark.parametrize("form", ["default", "learned"])
def test_any_rank(form, steps, shape):
    x = currents(steps, "float32", shape=shape)
    if not shape:
        tensors = {} if form == "default" else {"decay": torch.ones(1) / 3, "gain": torch.ones(1)}
        g = torch.ones_like(x)
        results = [
            outcome(kind(KINDS["sigmoid"], 0.9), form, x, g, tensors) for kind in (Plain, Leaky)
        ]
    else:
        results = both(form, (KINDS["sigmoid"], 0.9), x)
    assert_equal(*results, "float32")


def test_another_order_in_memory():
    x = currents(4, "float32").movedim(-1, 2).contiguous().movedim(2, -1)
    assert not x.is_contiguous()
    for form in ("default", "bypassed"):
        assert_equal(*both(form, (KINDS["rectangular"],), x), "float32")


@pytest.mark.parametrize("number", ["nan", "inf", "-inf"])
@pytest.mark.parametrize("form", ["default", "without memory", "learned", "bypassed"])
@pytest.mark.parametrize("steps", [1, 4, 17])
@pytest.mark.parametrize("dtype", DTYPES)
def test_numbers_that_are_not_finite(dtype, steps, form, number):
    for step, reset in itertools.product({0, steps - 1}, ("hard", "soft")):
        x = currents(steps, dtype)
        x[1, step, 1, 2, ::4] = float(number)
        (spikes, grads), (fast, fast_grads) = both(form, (KINDS["wide"], 0.9, reset), x)
        np.testing.assert_array_equal(fast.float(), spikes.float())
        assert bool(spikes.isnan().any()) == (number == "nan")
        if number != "nan":
            assert_equal((spikes, grads), (fast, fast_grads), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("threshold", [1.0, 0.9, 0.1, 1e-3, 3.3, 1000.0])
@pytest.mark.parametrize("width", [0.01, 0.7, 1.0, 2.0])
def test_the_edges_of_threshold_and_surrogate(width, threshold, dtype):
    """All numbers of the dtype next to an edge."""
    edges = np.float32([threshold, threshold - width / 2, threshold + width / 2])
    x = torch.tensor(edges).to(getattr(torch, dtype))
    places = x.view(torch.int16 if x.element_size() == 2 else torch.int32)[:, None]
    x = (places + torch.arange(-5, 6, dtype=places.dtype)).view(x.dtype).reshape(-1, 1, 1)
    x = x[torch.isfinite(x)][:, None, None]
    surrogate = surrogates.Rectangular(width)
    plain, fast = both("default", (surrogate, threshold), x)
    assert_equal(plain, fast, dtype)


@pytest.mark.parametrize("threshold, half", [(1.0, 0.5), (0.5, 0.5), (0.9, 3.0), (1e3, 1e-6)])
def test_the_window_of_a_surrogate(threshold, half):
    low, high = (np.float32(edge) for edge in leaky_in_place.window(threshold, half))
    threshold, half = np.float32(threshold), np.float32(half)
    for edge in (low, high):
        assert abs(edge - threshold) >= half > abs(np.nextafter(edge, threshold) - threshold)


def test_surrogates_and_dynamics_of_ones_own_take_the_plain_form():
    class Half(surrogates.Rectangular):
        def __call__(self, u):
            return 0.5 * super().__call__(u)

    assert Leaky(Half()).in_place() is None
    assert Leaky(lambda u: 1.0).in_place() is None
    assert Plain(surrogates.Rectangular()).in_place() is None
    assert Leaky(surrogates.Rectangular()).in_place() is not None


def test_what_is_recorded_takes_the_plain_form():
    from torch.fx.experimental.proxy_tensor import make_fx

    def run(x):
        return lif(x, 0.5, 1.0, KINDS["rectangular"])

    x = currents(4, "float32")
    for options in ({}, {"pre_dispatch": True}):
        graph = make_fx(run, **options)(torch.zeros_like(x))
        np.testing.assert_array_equal(graph(x), run(x))
    assert run(x).max() == 1


def test_threads_do_not_share_memory():
    from concurrent.futures import ThreadPoolExecutor

    layer = LIF(decay=0.3)
    inputs = [currents(8, "float32", seed, (4, 4, 8)) for seed in range(40)]
    alone = [layer(x) for x in inputs]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(layer, inputs))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)
