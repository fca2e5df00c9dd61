"""Layers and networks quantized by Keras are stored and read as any others."""

import keras
import numpy as np
import pytest

import keras_staa
from keras_staa.layers import PerStep
from tests.layers.support import randomise

pytestmark = pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")


def inputs(*shape):
    return np.random.default_rng(0).random((2, *shape), "float32")


def dense(wrap):
    keras.utils.set_random_seed(0)
    layer = keras.layers.Dense(4, name="dense")
    layer = PerStep(layer, name="dense") if wrap else layer
    return keras.Sequential([keras.Input((3, 5)), layer])


def stored(model, folder, fresh):
    """The model read back from both kinds of files."""
    model.save(folder / "model.keras")
    model.save_weights(folder / "model.weights.h5")
    fresh.load_weights(folder / "model.weights.h5")
    return keras.saving.load_model(folder / "model.keras"), fresh


@pytest.mark.parametrize("mode", ["int8", "int4"])
@pytest.mark.parametrize(
    "quantize",
    [
        lambda model, mode: model.quantize(mode),
        lambda model, mode: model.layers[0].quantize(mode),
        lambda model, mode: model.layers[0].layer.quantize(mode),
    ],
    ids=["model", "wrapper", "layer"],
)
def test_quantized_dense_in_per_step(mode, quantize, tmp_path):
    x = inputs(3, 5)
    alone, model, fresh = dense(wrap=False), dense(wrap=True), dense(wrap=True)
    # Not `predict`, whose compiled form knows nothing of a layer that is quantized later.
    exact = keras.ops.convert_to_numpy(model(x))
    alone.quantize(mode)
    quantize(model, mode)
    quantize(fresh, mode)
    expected = alone.predict(x, verbose=0)
    assert 0 < np.abs(expected - exact).max() < 0.2
    for loaded in (model, *stored(model, tmp_path, fresh)):
        wrapper = loaded.layers[0]
        assert wrapper.quantization_mode is None
        assert wrapper.layer.quantization_mode == mode
        assert keras.backend.standardize_dtype(wrapper.layer._kernel.dtype) == "int8"
        np.testing.assert_allclose(loaded.predict(x, verbose=0), expected, rtol=1e-6)


@pytest.mark.parametrize("source", ["float32", "mixed_bfloat16"])
def test_the_wrapper_has_the_policy_under_the_quantized_one(source):
    inner = keras.layers.Dense(4, dtype=f"int8_from_{source}")
    assert PerStep(inner, dtype="float16").dtype_policy == keras.DTypePolicy(source)


@pytest.mark.parametrize("remat", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.heavy
def test_a_quantized_network(remat, tmp_path):
    arguments = {"width": 4, "steps": 2, "input_shape": (16, 16, 3), "classifier_activation": None}
    model, fresh = (keras_staa.STAAVGG(**arguments, remat=remat) for _ in range(2))
    x = inputs(16, 16, 3)
    for network in (model, fresh):
        read_out = network.get_layer("predictions")
        randomise(network)
        exact = network.predict(x, verbose=0)
        network.quantize("int8")
        assert read_out.quantization_mode == "int8"
    fresh.set_weights([0 * w for w in fresh.get_weights()])
    expected = model.predict(x, verbose=0)
    scale = np.abs(exact).max()
    assert 0 < np.abs(expected - exact).max() < 0.05 * scale
    for loaded in stored(model, tmp_path, fresh):
        np.testing.assert_allclose(loaded.predict(x, verbose=0), expected, atol=1e-5 * scale)
