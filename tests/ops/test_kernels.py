"""The kernels for GPUs against the NumPy reference, interpreted on a CPU; and compiled for GPUs."""

import importlib.util
import math

import keras
import numpy as np
import pytest
from keras import ops

from keras_staa import surrogates
from keras_staa.layers import LIF, STAALIF, BatchNormalization, PerStep
from keras_staa.ops import Leaky, lif
from keras_staa.ops.kernels import MACHINES
from keras_staa.training import gpus
from tests import reference
from tests.gradients import gradients
from tests.kernels import forget, interpret, small_blocks
from tests.layers import test_aggregator as aggregators
from tests.ops import test_lif as neurons

BACKEND = keras.backend.backend()
pytestmark = pytest.mark.skipif(
    BACKEND == "tensorflow" or (BACKEND == "torch" and importlib.util.find_spec("triton") is None),
    reason="The kernels are written for JAX, and for PyTorch with Triton.",
)
# Machines that a backend has kernels for.
HERE = MACHINES if BACKEND == "jax" else ("triton",)
ALL = {
    "triton": {"neuron", "neuron_gradient", "summaries", "summaries_gradient"},
    "mosaic": {"neuron", "neuron_gradient"},
}


@pytest.fixture(params=HERE)
def machine(request):
    return request.param


@pytest.fixture
def ran(monkeypatch, machine):
    yield interpret(monkeypatch, machine)
    forget()


@pytest.fixture(params=["one block", "many blocks"])
def size(request, monkeypatch):
    if request.param == "many blocks":
        small_blocks(monkeypatch)


@pytest.mark.parametrize("dtype", neurons.TOLERANCE)
@pytest.mark.parametrize("reset, detach", [("hard", True), ("soft", False)])
@pytest.mark.parametrize("name", surrogates.SURROGATES)
def test_neurons(name, reset, detach, dtype, ran, machine):
    neurons.check(name, reset, detach, dtype, steps=4)
    assert set(ran) == by_steps(machine, 4)


def by_steps(machine, steps, learned=False):
    """XLA's own passes of one step are as good, and on GPUs its forward pass of few steps."""
    kernels = {"neuron", "neuron_gradient"}
    if BACKEND == "jax" and (steps == 1 or (machine == "triton" and steps <= 4)):
        kernels.discard("neuron")
    if BACKEND == "jax" and steps == 1 and not (machine == "triton" and learned):
        kernels.discard("neuron_gradient")
    return kernels


@pytest.mark.parametrize("steps", [1, 3, 5, 16])
def test_any_number_of_steps(steps, ran, size, machine):
    neurons.check("sigmoid", "hard", False, "float32", steps)
    assert set(ran) == by_steps(machine, steps, learned=True)


SHAPES = [(2, 3), (2, 3, 5), (3, 2, 5, 7, 3), (1, 4, 1, 1, 150), (2, 1, 5)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("learned", [False, True])
def test_any_shape(shape, learned, ran, size, machine):
    rng = np.random.default_rng(0)
    x, g = rng.normal(0.6, 0.8, (2, *shape)).astype("float32")
    pair = [0.25, 0.9]
    if learned:
        pair = [rng.uniform(0.2, 1, shape[2:][-1:] or (1,)).astype("float32") for _ in pair]
    given = [x, *pair] if learned else [x]

    def call(x, *coefficients):
        return lif(x, *(coefficients or pair), surrogates.Arctan())

    spikes, found = gradients(call, given, g)
    one = [np.asarray(c).reshape(()) if len(shape) == 2 else c for c in pair]
    np.testing.assert_array_equal(spikes, reference.lif_forward(x, *one)[0])
    expected = reference.lif_backward(x, g, *one, surrogate="arctan")
    for got, wanted in zip(found, expected, strict=False):
        neurons.assert_near(got, np.reshape(wanted, got.shape), 1e-5)
    assert set(ran) == by_steps(machine, shape[1], learned)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", aggregators.STAAS)
def test_aggregators(name, dtype, ran, size, machine):
    layer, parts = aggregators.make(name, dtype)
    aggregators.check(layer, parts, dtype)
    held = layer.context is not None and machine == "triton"
    assert set(ran) == ({"summaries", "summaries_gradient"} if held else set())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_aggregator_with_bypassed_steps(dtype, ran, size):
    layer, parts = aggregators.make("staa", dtype)
    layer.bypass_rate = 0.5
    bypass = aggregators.check(layer, parts, dtype, training=True)
    assert 0 < bypass.sum() < bypass.size


def test_aggregator_with_its_neuron(ran, size, machine):
    aggregators.test_gradients_with_the_neuron("float32")
    assert set(ran) == ALL[machine]


OWN = {
    "gaussian": lambda u: ops.exp(-ops.square(u)) / math.sqrt(math.pi),
    "fast sigmoid": lambda u: 1.0 / (1.0 + 2.0 * ops.abs(u)) ** 2,
    "hyperbolic": lambda u: 1.0 - ops.tanh(u) ** 2,
    "two slopes": lambda u: ops.where(ops.abs(u) < 0.5, 1.0, 0.1),
    "leaky": lambda u: ops.maximum(0.1, 1.0 - ops.abs(u)),
    "cut": lambda u: ops.clip(1.0 - u, 0.2, 0.8) + ops.relu(u),
    "one": lambda u: ops.ones_like(u),
    "between": lambda u: ops.cast(ops.logical_and(u > -0.5, ops.logical_not(u > 0.5)), "float32"),
    "root": lambda u: ops.rsqrt(1.0 + ops.sqrt(ops.abs(u))) * ops.cos(u),
    "sides": lambda u: 0.5 + 0.25 * ops.sign(u) + ops.minimum(u, 0.0) ** 3,
}


@pytest.mark.parametrize("name", OWN)
def test_surrogates_of_your_own(name, ran, monkeypatch):
    rng = np.random.default_rng(0)
    x, g = rng.normal(0.6, 0.8, (2, 3, 4, 5)).astype("float32")

    def run():
        forget()
        spikes, (dx,) = gradients(lambda x: lif(x, 0.5, 1.0, OWN[name], reset="soft"), [x], g)
        return spikes, dx

    spikes, dx = run()
    assert "neuron_gradient" in ran
    monkeypatch.setenv("KERAS_STAA_KERNELS", "0")
    plain, expected = run()
    np.testing.assert_array_equal(spikes, plain)
    neurons.assert_near(dx, expected, 1e-5)


def test_what_kernels_do_not_hold(ran):
    """Equations that no kernel has run without one, and so does a loop that is rolled."""
    x = np.random.default_rng(0).normal(0.6, 0.8, (2, 4, 8)).astype("float32")
    table = np.linspace(0, 1, 8, dtype="float32")
    for surrogate in (lambda u: ops.sort(u), lambda u: u * ops.convert_to_tensor(table)):
        spikes, _ = gradients(lambda x, f=surrogate: lif(x, 0.5, 1.0, f), [x], np.ones_like(x))
        assert spikes.mean() > 0
    long = x[:, :1].repeat(17, axis=1)
    gradients(lambda x: lif(x, 0.5, 1.0, surrogates.Arctan()), [long], np.ones_like(long))
    assert not ran


def test_kernels_can_be_switched_off(ran, monkeypatch):
    monkeypatch.setenv("KERAS_STAA_KERNELS", "0")
    layer, parts = aggregators.make("staa")
    aggregators.check(layer, parts, "float32")
    assert not ran


def test_not_a_number_shows(ran):
    x = np.ones((1, 4, 8), "float32")
    x[0, 1, 3] = np.nan
    layer = STAALIF(context=False, position=None, step_gate=False, bypass_rate=0.0)
    layer.build((1, 4, 1, 1, 8))
    ones = ops.ones((1, 4, 8))
    # A gate, as an aggregator gives it.
    gated = layer.lif.gated(ops.convert_to_tensor(x[:, :, None, None]), ones)
    spikes = ops.convert_to_numpy(ops.stop_gradient(gated))[:, :, 0, 0]
    assert np.isnan(spikes[0, 1:, 3]).all() and not np.isnan(np.delete(spikes, 3, 2)).any()
    assert set(ran) == {"neuron"}


def test_a_neuron_that_has_no_hash(ran):
    """Each is looked at by itself."""

    class Twice:
        __hash__ = None

        def __call__(self, u):
            return 2.0 / (1.0 + ops.abs(u))

    x = np.array([[0.3, 0.9]], "float32")
    _, (dx,) = gradients(lambda x: lif(x, 0.0, 1.0, Twice()), [x], np.ones_like(x))
    np.testing.assert_allclose(dx, [[2 / 1.7, 2 / 1.1]], rtol=1e-6)
    assert Leaky(Twice()) and ran


def normalized(neuron):
    """A neuron behind batch normalization."""
    norm = PerStep(BatchNormalization())
    return keras.Sequential([keras.Input(LARGE[1:]), norm, neuron])


LARGE = 64, 4, 32, 32, 128
PASSES = [
    (lambda: LIF(), 5.0, 2),
    (learned := lambda: LIF(learn=True), 5.5, 4),
    (lambda: LIF(surrogate="sigmoid", reset="soft", detach_reset=False), 5.0, 2),
    (many := lambda: LIF(), 5.0, 2),
    (lambda: STAALIF(seed=0), 10.0, 45),
    # Two reads for the statistics, and three passes for the gradient of what is normalized.
    (lambda: normalized(LIF()), 10.1, 20),
    (lambda: normalized(STAALIF(seed=0)), 14.5, 60),
]
COMPILERS = {"h100:1": gpus.PLUGIN, "a100:1": gpus.PLUGIN, "v5e:1x1": "libtpu"}


@pytest.mark.slow
@pytest.mark.skipif(BACKEND != "jax", reason="The compilers are JAX's.")
@pytest.mark.parametrize("kind, passes, started", PASSES)
@pytest.mark.parametrize("chip", COMPILERS)
def test_few_passes(kind, passes, started, chip):
    """Bytes over those of the current, and kernels, of a layer forward and backward."""
    if importlib.util.find_spec(COMPILERS[chip]) is None:
        pytest.skip(f"{COMPILERS[chip]}, which compiles for it, is not installed.")
    import jax

    from keras_staa.training import topology
    from tests.layers.support import stateless

    keras.config.set_dtype_policy("mixed_bfloat16")
    layer = kind()
    keras.config.set_dtype_policy("float32")
    shape = (16, 16, *LARGE[2:]) if kind is many else LARGE
    if not layer.built:
        layer.build(shape)
    alone = isinstance(layer, LIF)
    call = stateless(layer) if alone else stateless(layer, training=True)

    def step(x, g, *weights):
        output, pull = jax.vjp(lambda *given: ops.cast(call(*given), "bfloat16"), x, *weights)
        return output, pull(g)

    mesh = topology.devices(chip)
    whole = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    x = jax.ShapeDtypeStruct(shape, "bfloat16", sharding=whole)
    weights = [
        jax.ShapeDtypeStruct(v.shape, v.dtype, sharding=whole) for v in layer.trainable_variables
    ]
    found = topology.describe_step(topology.compile_for(mesh, jax.jit(step), (x, x, *weights)))
    # For the A100 XLA makes two kernels of the forward pass where M and N are learned.
    split = chip == "a100:1" and kind is learned
    assert found["bytes"] / (2 * np.prod(LARGE)) <= (passes + 0.5 * split) * 1.001
    assert found["kernels"] is None or found["kernels"] <= started + split


@pytest.mark.slow
@pytest.mark.skipif(BACKEND != "jax", reason="The compilers are JAX's.")
@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="It compiles for TPUs.")
@pytest.mark.parametrize("training", [True, False])
def test_one_step_is_part_of_convolutions(training):
    """As ReLU is on TPUs: with a kernel in between, predict takes three times the bytes of it."""
    from keras_staa.training import topology

    mesh, moved = topology.devices("v5e:1x1"), []
    for neuron in (keras.layers.ReLU, LIF):
        keras.config.set_dtype_policy("mixed_bfloat16")
        layers = [keras.Input((1, 32, 32, 128))]
        for _ in range(3):
            conv = keras.layers.Conv2D(128, 3, padding="same", use_bias=False)
            layers += [PerStep(conv), PerStep(BatchNormalization()), neuron()]
        model = keras.Sequential([*layers, keras.layers.GlobalAveragePooling3D()])
        keras.config.set_dtype_policy("float32")
        model.compile("sgd", "sparse_categorical_crossentropy")
        step = topology.step_of(model, mesh, 256, training=training)
        moved.append(topology.describe_step(topology.compile_for(mesh, *step))["bytes"])
    assert moved[1] <= 1.3 * moved[0]
