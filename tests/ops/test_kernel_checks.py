"""Kernels that are wrong, or raise, on a device that interpreters play."""

import concurrent.futures
import functools
import importlib
import importlib.util
import inspect
import warnings

import keras
import numpy as np
import pytest
from keras import ops

from keras_staa import surrogates
from keras_staa.ops import kernels, lif
from keras_staa.ops.kernels import check, trials
from tests import reference
from tests.kernels import forget, interpret, small_blocks
from tests.layers import test_aggregator as aggregators
from tests.ops import test_lif as neurons

BACKEND = keras.backend.backend()
pytestmark = pytest.mark.skipif(
    BACKEND == "tensorflow" or (BACKEND == "torch" and importlib.util.find_spec("triton") is None),
    reason="The kernels are written for JAX, and for PyTorch with Triton.",
)
PACKAGE = "pallas" if BACKEND == "jax" else "torch"
LINE = ("scale", "shift") if BACKEND == "jax" else ()
KERNELS = ("neuron", "summaries")


@pytest.fixture
def ran(monkeypatch):
    """Names of the kernels that ran, on a device that the CPU plays."""
    yield device(monkeypatch)
    forget()


def device(monkeypatch):
    ran = interpret(monkeypatch)
    small_blocks(monkeypatch)
    monkeypatch.setattr(trials, "SHAPE", (2, 2, 2, 3, 5))
    monkeypatch.setattr(check, "_FOUND", {})
    here = ("a device", cpu())
    monkeypatch.setitem(
        check.DEVICES, BACKEND, lambda machine, x: [here] if machine == "triton" else []
    )
    return ran


def cpu():
    if BACKEND == "jax":
        import jax

        return jax.devices()[0]
    import torch

    return torch.device("cpu")


def change(monkeypatch, kernel, direction, wrapper):
    """Put a kernel in another's place; `wrapper` gets the kernel and what it is called with."""
    module = importlib.import_module(f"keras_staa.ops.kernels.{PACKAGE}.{kernel}")
    monkeypatch.setattr(module, direction, functools.partial(wrapper, getattr(module, direction)))


def fault(kernel, dtype="float32"):
    return check.check(trials.TRIALS[kernel], "triton", dtype, cpu())


@pytest.mark.parametrize("dtype", kernels.DTYPES)
@pytest.mark.parametrize("kernel", KERNELS)
def test_what_is_right_passes(kernel, dtype, ran):
    assert fault(kernel, dtype) is None
    assert set(ran) == {kernel, f"{kernel}_gradient"}


@pytest.mark.parametrize("kernel", KERNELS)
def test_trials_have_something_of_everything(kernel):
    """Spikes and silence, steps that are kept and not, and gradients."""
    for trial in trials.TRIALS[kernel]("triton", "float32"):
        found = check.RUN[BACKEND](trial.plain, trial.inputs, cpu())
        assert all(np.isfinite(values).all() and values.any() for values in found.values())
        if kernel == "neuron":
            assert 0.1 < found["the output"].mean() < 0.9
        assert 0 < trial.inputs.get("keep", np.array([0, 1])).mean() < 1


OUTPUTS = [
    *(("neuron", "forward", place) for place in range(1)),
    *(("neuron", "backward", place) for place in range(3 + len(LINE))),
    *(("summaries", "forward", place) for place in range(3)),
    *(("summaries", "backward", place) for place in range(3 + len(LINE))),
]


@pytest.mark.parametrize("kernel, direction, place", OUTPUTS)
def test_one_wrong_number_is_found(kernel, direction, place, ran, monkeypatch):
    def wrong(right, *args, **kwargs):
        found = right(*args, **kwargs)
        several = isinstance(found, tuple)
        found = list(found) if several else [found]
        if place < len(found) and found[place] is not None:
            values = found[place]
            flat = ops.reshape(values, (-1,))
            large = ops.cast(ops.max(ops.abs(flat)), flat.dtype)
            last = ops.cast(ops.arange(flat.shape[0]) == flat.shape[0] - 1, flat.dtype)
            found[place] = ops.reshape(flat + 0.02 * large * last, values.shape)
        return tuple(found) if several else found[0]

    change(monkeypatch, kernel, direction, wrong)
    assert "of the largest value, and 0.0078 is allowed." in fault(kernel)


# What a kernel may take no notice of.
INPUTS = [
    *(("neuron", "forward", name) for name in ("decay", "encoding", "keep", *LINE)),
    *(("neuron", "backward", name) for name in ("decay", "encoding", "keep", *LINE)),
    *(("summaries", "forward", name) for name in ("query", "encoding", *LINE)),
    *(("summaries", "backward", name) for name in ("query", "encoding", "keep", *LINE)),
    *(("summaries", "backward", n) for n in ("g", "attention", "context", "dcontext", "dmean")),
]
EMPTY = {"keep": 1.0, "scale": 1.0}


@pytest.mark.parametrize("kernel, direction, name", INPUTS)
def test_an_input_that_is_left_out_is_found(kernel, direction, name, ran, monkeypatch):
    def emptied(value):
        none = value is None or isinstance(value, float)
        return value if none else ops.full_like(value, EMPTY.get(name, 0.0))

    def without(right, *args, **kwargs):
        bound = inspect.signature(right).bind(*args, **kwargs)
        given = bound.arguments
        if kernel == "neuron":
            given["a"] = given["a"]._replace(**{name: emptied(getattr(given["a"], name))})
        else:
            given[name] = emptied(given[name])
        return right(*bound.args, **bound.kwargs)

    change(monkeypatch, kernel, direction, without)
    assert "of the largest value" in fault(kernel)


def raising(right, *args, **kwargs):
    raise NotImplementedError("No such operation.\nAnd more lines.")


def wrong(right, *args, **kwargs):
    found = right(*args, **kwargs)
    return tuple(-x if x is not None else None for x in found)


FAULTS = {
    "raises": (raising, "it raised NotImplementedError: No such operation.. "),
    "is wrong": (wrong, "of the largest value, and 0.0078 is allowed. "),
}


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_the_plain_form_takes_the_place(kernel, name, ran, monkeypatch):
    """With one warning; the other kernel stays."""
    wrapper, text = FAULTS[name]
    change(monkeypatch, kernel, "backward", wrapper)
    layer, parts = aggregators.make("staa")
    with pytest.warns(UserWarning) as found:
        aggregators.test_gradients_with_the_neuron("float32")
    (message,) = {str(one.message) for one in found if "keras_staa" in str(one.message)}
    start = f"The kernel '{kernel}' of keras_staa failed its check on 'a device' in float32: "
    assert message.startswith(start) and text in message
    assert message.endswith("the same in more passes over memory.")
    ran.clear()
    forget()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        aggregators.test_gradients_with_the_neuron("float32")
    (other,) = set(KERNELS) - {kernel}
    assert set(ran) == {other, f"{other}_gradient"}


def run_neuron(dtype="float32"):
    """A neuron forward and backward against the reference, with steps that kernels take."""
    neurons.check("sigmoid", "hard", True, dtype, steps=5)


def counted(monkeypatch):
    """Return a list that grows with each check."""
    runs, run = [], check.check

    def more(*args):
        runs.append(args)
        return run(*args)

    monkeypatch.setattr(check, "check", more)
    return runs


def test_each_dtype_is_checked_once(ran, monkeypatch):
    runs = counted(monkeypatch)
    for dtype, count in (("float32", 1), ("float32", 1), ("bfloat16", 2)):
        forget()
        run_neuron(dtype)
        assert len(runs) == count


def test_nothing_is_checked_where_no_kernel_is_wanted(ran, monkeypatch):
    monkeypatch.setenv("KERAS_STAA_KERNELS", "0")
    change(monkeypatch, "neuron", "forward", raising)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        run_neuron()
    assert not ran and not check._FOUND


def test_no_device_no_check(monkeypatch):
    """Programs for machines that are elsewhere keep their kernels."""
    ran = interpret(monkeypatch)
    monkeypatch.setattr(check, "_FOUND", {})
    run_neuron()
    assert ran and not check._FOUND
    forget()


def test_a_warning_that_is_an_error(ran, monkeypatch):
    """It ends one call; the plain form is used all the same."""
    change(monkeypatch, "neuron", "backward", wrong)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        with pytest.raises(UserWarning, match="failed its check"):
            run_neuron()
        run_neuron()


def test_threads_wait_for_one_check(ran, monkeypatch):
    runs = counted(monkeypatch)
    change(monkeypatch, "neuron", "backward", wrong)
    x = np.random.default_rng(0).normal(0.6, 0.8, (2, 5, 3)).astype("float32")

    def use(_):
        return ops.convert_to_numpy(lif(x, 0.25, 1.0, surrogates.Arctan()))

    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            spikes = list(pool.map(use, range(4)))
    assert len(runs) == 1
    assert sum("failed its check" in str(one.message) for one in found) == 1
    for one in spikes:
        np.testing.assert_array_equal(one, reference.lif_forward(x, 0.25, 1.0)[0])


@pytest.mark.skipif(BACKEND != "jax", reason="Traces are JAX's.")
@pytest.mark.parametrize("kind", ["jit", "grad", "vmap", "scan", "shard_map", "mesh", "abstract"])
def test_the_first_use_is_while_a_program_is_traced(kind, ran, monkeypatch):
    import jax
    from jax.sharding import Mesh, NamedSharding, PartitionSpec

    change(monkeypatch, "neuron", "backward", wrong)
    x = np.random.default_rng(0).normal(0.6, 0.8, (2, 5, 3)).astype("float32")

    def call(x):
        return lif(x, 0.25, 1.0, surrogates.Arctan())

    def total(x):
        return jax.grad(lambda x: call(x).sum())(x)

    mesh, part = Mesh(np.array(jax.devices()[:1]), ("batch",)), PartitionSpec("batch")
    split = NamedSharding(mesh, part)
    forms = {
        "jit": jax.jit(call),
        "grad": jax.jit(total),
        "vmap": jax.vmap(call),
        "scan": lambda x: jax.lax.scan(lambda c, x: (c, call(x)), 0.0, x)[1],
        "shard_map": jax.jit(
            jax.shard_map(call, mesh=mesh, in_specs=part, out_specs=part, check_vma=False)
        ),
        "mesh": jax.jit(call, in_shardings=split, out_shardings=split),
        "abstract": lambda x: jax.eval_shape(call, x),
    }
    given = x[:, None] if kind in ("vmap", "scan") else x
    with pytest.warns(UserWarning, match="failed its check"):
        found = forms[kind](given)
    if kind == "abstract":
        assert found.shape == x.shape
    elif kind == "grad":
        expected = reference.lif_backward(x, np.ones_like(x), 0.25, 1.0, surrogate="arctan")[0]
        neurons.assert_near(np.asarray(found), expected, 1e-5)
    else:
        expected = reference.lif_forward(x, 0.25, 1.0)[0]
        np.testing.assert_array_equal(np.reshape(found, x.shape), expected)


@pytest.mark.skipif(BACKEND != "torch", reason="Modes of PyTorch.")
@pytest.mark.parametrize("mode", ["no_grad", "inference_mode", "fake", "autocast", "make_fx"])
def test_the_first_use_is_in_a_mode(mode, ran, monkeypatch):
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.fx.experimental.proxy_tensor import make_fx

    change(monkeypatch, "neuron", "backward", wrong)
    x = torch.rand(2, 5, 3)

    def call(x):
        return lif(x, 0.25, 1.0, surrogates.Arctan())

    modes = {
        "no_grad": torch.no_grad,
        "inference_mode": torch.inference_mode,
        "fake": FakeTensorMode,
        "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
        "make_fx": torch.no_grad,
    }
    with (
        modes[mode](),
        pytest.warns(UserWarning, match="failed its check on 'a device' .* differs"),
    ):
        if mode == "fake":
            x = torch.empty(2, 5, 3)
        found = make_fx(call)(x)(x) if mode == "make_fx" else call(x)
    if mode != "fake":
        expected = reference.lif_forward(x.numpy(), 0.25, 1.0)[0]
        np.testing.assert_array_equal(found.numpy(), expected)


class Client:
    """What processes tell each other, of `jax.distributed`."""

    def __init__(self, **said):
        self.said = said

    def key_value_set(self, name, value, allow_overwrite):
        self.said[name.rpartition("/")[2]] = value

    def blocking_key_value_get(self, name, timeout_in_ms):
        try:
            return self.said[name.rpartition("/")[2]]
        except KeyError:
            raise TimeoutError from None


AGREEMENTS = {
    "all fail": ({"0": "failed", "2": "failed"}, True, None),
    "one passes": ({"0": "failed", "2": "passed"}, True, "another process uses it"),
    "one is silent": ({"0": "failed"}, True, r"do not say what they found \(TimeoutError\)"),
    "it passes": ({}, False, None),
}


@pytest.mark.skipif(BACKEND != "jax", reason="Processes of PyTorch have programs of their own.")
@pytest.mark.parametrize("name", AGREEMENTS)
def test_processes_of_one_program_agree(name, ran, monkeypatch):
    import jax
    from jax._src import distributed

    said, fails, text = AGREEMENTS[name]
    client = Client(**said)
    monkeypatch.setattr(jax, "process_count", lambda: 3)
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    monkeypatch.setattr(distributed.global_state, "client", client)
    if fails:
        change(monkeypatch, "neuron", "backward", wrong)
    if text:
        with pytest.raises(RuntimeError, match=f"in process 1, and .*{text}.*KERAS_STAA_KERNELS=0"):
            run_neuron()
    elif fails:
        with pytest.warns(UserWarning, match="failed its check"):
            run_neuron()
    else:
        run_neuron()
    assert client.said["1"] == ("failed" if fails else "passed")
