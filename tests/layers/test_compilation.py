"""Neurons and aggregators that are compiled by themselves give what they give otherwise."""

import importlib
import importlib.metadata
import importlib.util
import shutil
import sys
import types

import keras
import numpy as np
import pytest

import keras_staa
from keras_staa.layers import LIF, STAA, STAALIF
from keras_staa.ops import inductor
from tests.layers.support import assert_near, layer_gradients, randomise

TORCH = keras.backend.backend() == "torch"
needs_compiler = pytest.mark.skipif(
    TORCH and not any(shutil.which(name) for name in ("g++", "clang++")),
    reason="PyTorch's compiler needs a C++ compiler.",
)
SHAPE = (3, 4, 3, 2, 8)
LAYERS = {
    "lif": (LIF, {}),
    "lif-learned": (LIF, {"learn": True, "reset": "soft"}),
    "staa": (STAA, {"ratio": 2}),
    "staalif": (STAALIF, {"ratio": 2, "surrogate": "sigmoid"}),
    "staalif-causal": (STAALIF, {"ratio": 2, "step_gate": "causal", "context": False}),
}


@needs_compiler
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_the_same_output_and_gradients(name, training):
    kind, arguments = LAYERS[name]
    arguments = arguments if kind is LIF else {**arguments, "bypass_rate": 0.4, "seed": 5}
    rng = np.random.default_rng(3)
    x, g = rng.normal(0.4, 1, SHAPE), rng.normal(0, 1, SHAPE)
    results = []
    for enabled in (False, True):
        layer = kind(**arguments)
        layer.build(SHAPE)
        keras_staa.jit_compile(randomise(layer), enabled)
        results.append(layer_gradients(layer, x, g, training))
    (y, dx, grads), (compiled_y, compiled_dx, compiled_grads) = results
    assert len(np.unique(y)) > 1
    assert_near(compiled_y, y, 1e-5, "output")
    for got, want in zip([compiled_dx, *compiled_grads], [dx, *grads], strict=True):
        assert_near(got, want, 1e-5)


@needs_compiler
@pytest.mark.heavy
@pytest.mark.parametrize("name", ["lif", "lif-learned", "staalif"])
def test_long_sequences(name):
    """On PyTorch two blocks of 13 steps and one of 12, by two programs each way."""
    kind, arguments = LAYERS[name]
    arguments = arguments if kind is LIF else {**arguments, "bypass_rate": 0.4, "seed": 5}
    shape = (3, 38, 2, 2, 8)
    rng = np.random.default_rng(3)
    x, g = rng.normal(0.4, 1, shape), rng.normal(0, 1, shape)
    results = []
    for enabled in (False, True):
        layer = kind(**arguments)
        layer.build(shape)
        keras_staa.jit_compile(randomise(layer), enabled)
        results.append(layer_gradients(layer, x, g, training=True))
    (y, dx, grads), (compiled_y, compiled_dx, compiled_grads) = results
    np.testing.assert_array_equal(compiled_y, y)
    for got, want in zip([compiled_dx, *compiled_grads], [dx, *grads], strict=True):
        assert_near(got, want, 1e-5)


@needs_compiler
@pytest.mark.heavy
def test_a_model_trains_and_meets_partial_batches():
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((2, 4, 4, 8)),
            STAALIF(surrogate="sigmoid"),
            STAALIF(surrogate="sigmoid"),
            keras.layers.Flatten(),
            keras.layers.Dense(5, activation="softmax"),
        ]
    )
    keras_staa.jit_compile(model)
    model.compile("sgd", "sparse_categorical_crossentropy")
    x, y = np.random.default_rng(0).random((5, 2, 4, 4, 8), "float32"), np.arange(5)
    before = model.get_weights()
    history = model.fit(x, y, batch_size=3, epochs=2, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    neuron = next(w.path for w in model.trainable_variables if w.name == "decay")
    moved = {
        w.path: np.abs(keras.ops.convert_to_numpy(w) - old).max()
        for w, old in zip(model.weights, before, strict=True)
    }
    assert moved[neuron] > 0


@needs_compiler
@pytest.mark.slow
def test_one_time_step_before_a_mean_over_places():
    # The gradient of that mean reaches the neuron with the places innermost in memory.
    model = keras_staa.jit_compile(keras_staa.STAACompact(width=4, steps=1))
    model.compile("sgd", "sparse_categorical_crossentropy")
    x = np.random.default_rng(0).random((3, 32, 32, 3), "float32")
    assert np.isfinite(model.fit(x, np.arange(3), verbose=0).history["loss"]).all()


@needs_compiler
def test_layers_inside_of_models_and_wrappers_are_found():
    inner = keras.Sequential([keras.Input((4, 2, 2, 8)), STAALIF(name="neuron")])
    keras_staa.jit_compile(keras.Sequential([keras.Input((4, 2, 2, 8)), inner]))
    assert inner.get_layer("neuron").staa.compiled


@needs_compiler
def test_neurons_inside_of_a_layer_of_ones_own_are_found():
    class Block(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.branches = [LIF(), keras.layers.TimeDistributed(LIF())]
            self.neuron = STAALIF()

        def call(self, x):
            return self.neuron(self.branches[0](x))

        jit = property(lambda self: "something else")

    block = Block()
    model = keras.Sequential([keras.Input((4, 2, 2, 8)), block])
    assert keras_staa.jit_compile(model) is model
    inside = [block.branches[0], block.branches[1].layer, block.neuron.staa, block.neuron.lif]
    assert [layer.compiled for layer in inside] == [True] * 4
    keras_staa.jit_compile(block, False)
    assert [layer.compiled for layer in inside] == [False] * 4


def test_a_model_without_neurons():
    with pytest.raises(ValueError, match="`model` must have a neuron"):
        keras_staa.jit_compile(keras.Sequential([keras.layers.Dense(2)]))


@pytest.mark.skipif(not TORCH, reason="PyTorch's compiler alone needs another one.")
def test_without_a_compiler(monkeypatch):
    import torch

    config = pytest.importorskip("torch._inductor.config")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    layer = LIF()
    # Not `monkeypatch`, which would take the setting away behind it.
    with (
        config.patch({"cpp.cxx": ("no-such-compiler",)}),
        pytest.raises(RuntimeError, match="needs a C\\+\\+ compiler"),
    ):
        keras_staa.jit_compile(layer)
    assert config.cpp.cxx


def small_network():
    keras.utils.set_random_seed(0)
    return keras_staa.STAACompact(
        width=4, steps=2, classes=3, input_shape=(16, 16, 3), bypass_rate=0.0
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Dynamo detected a call to a `functools.lru_cache`")
@pytest.mark.skipif(not TORCH, reason="torch.compile is PyTorch's.")
@pytest.mark.parametrize("training", [False, True])
def test_torch_compile(training):
    import torch

    x = torch.rand((2, 16, 16, 3), generator=torch.Generator().manual_seed(0))
    gradients = []
    for compiled in (False, True):
        model = small_network()
        model(x)
        call = model
        if compiled:
            # In one graph but for training, where Keras's layers themselves break it.
            call = torch.compile(model, backend="aot_eager", fullgraph=not training)
        y = call(x, training=training)
        y[:, 0].sum().backward()
        found = [v.value.grad.numpy() for v in model.trainable_variables]
        gradients.append([y.detach().numpy(), *found])
    for got, want in zip(*reversed(gradients), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6)
    assert any(np.abs(gradient).max() > 0 for gradient in gradients[0][1:])


@pytest.mark.slow
@pytest.mark.release  # Inductor takes five minutes of a core for it.
@needs_compiler
@pytest.mark.filterwarnings("ignore:Dynamo detected a call to a `functools.lru_cache`")
def test_a_whole_step_is_compiled():
    x, y = np.random.default_rng(0).random((4, 16, 16, 3), "float32"), np.array([0, 1, 2, 0])
    losses = []
    for jit_compile in (False, True):
        model = small_network()
        model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=jit_compile)
        assert model.jit_compile == jit_compile
        losses.append(model.fit(x, y, epochs=3, shuffle=False, verbose=0).history["loss"])
    np.testing.assert_allclose(*losses, rtol=1e-4)


@pytest.mark.skipif(not TORCH, reason="The compilers of the others keep a loop rolled.")
def test_no_program_has_hundreds_of_steps(monkeypatch):
    import torch._inductor

    compiled = []

    def record(graph, tensors):
        compiled.append(max(tensor.shape[1] for tensor in tensors if tensor.ndim == 3))
        return graph

    monkeypatch.setattr(torch._inductor, "compile", record)
    layer = LIF(learn=True, surrogate=keras_staa.surrogates.Rectangular(1.5))
    layer.build((2, 300, 4))
    layer.jit(True)
    x = np.random.default_rng(0).normal(0.5, 1, (2, 300, 4))
    y, _, _ = layer_gradients(layer, x, np.ones_like(x), True)
    assert set(np.unique(y)) == {0, 1}
    # 18 blocks of 16 steps and one of 12, forward and backward.
    assert sorted(compiled) == [12, 12, 16, 16]


@pytest.mark.skipif(not TORCH, reason="Only PyTorch compiles by Triton.")
@pytest.mark.parametrize(
    "version, flags, allowed", [("3.7.1", True, False), ("3.7.1", False, True)]
)
def test_triton_behind_tensorflow(version, flags, allowed, monkeypatch, tmp_path):
    """Triton would end Python where TensorFlow has given its symbols to all."""
    folder = tmp_path / "tensorflow"
    (folder / "python").mkdir(parents=True)
    if flags:
        (folder / "python" / "pywrap_dlopen_global_flags.py").touch()
    file = types.SimpleNamespace(__file__=str(folder / "__init__.py"), __version__="2.21.0")
    monkeypatch.setitem(sys.modules, "tensorflow", file)
    monkeypatch.delitem(sys.modules, "triton", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(importlib.metadata, "version", lambda name: version)
    imported = []
    monkeypatch.setattr(importlib, "import_module", imported.append)
    if allowed:
        inductor.import_triton()
        assert imported == ["triton"]
    else:
        with pytest.raises(RuntimeError, match=r"Write `import triton` before .* `jit_compile`"):
            inductor.import_triton()
        assert not imported
