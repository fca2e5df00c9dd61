"""Inputs of no samples, and of sizes that only the call knows."""

import keras
import numpy as np
import pytest

from keras_staa.layers import LIF, STAA, STAALIF, Conv2D, GlobalContext, MeanOverSteps, PerStep
from keras_staa.layers import StepAttention as Steps
from tests.layers.support import randomise
from tests.layers.test_contract import built, every_layer, images


@every_layer
def test_no_samples_give_no_results(name):
    layer, shape = built(name)
    output = layer(images(0, shape))
    assert tuple(output.shape) == layer.compute_output_shape((0, *shape))


@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_no_samples_for_a_convolution(padding, strides):
    inputs = keras.Input((8, 7, 3))
    model = keras.Model(inputs, Conv2D(5, 3, strides=strides, padding=padding)(inputs))
    x = np.zeros((0, 8, 7, 3), "float32")
    shape = keras.layers.Conv2D(5, 3, strides=strides, padding=padding).compute_output_shape(
        x.shape
    )
    assert tuple(model(x).shape) == tuple(model.predict_on_batch(x).shape) == shape


@pytest.mark.parametrize("kind", [STAA, STAALIF])
def test_no_samples_for_an_aggregator_with_all_its_parts(kind):
    output = kind(ratio=1)(np.zeros((0, 4, 6, 6, 3), "float32"), training=False)
    assert tuple(output.shape) == (0, 4, 6, 6, 3)


PLAIN = {"ratio": 1, "bypass_rate": 0.0}
# Layers and the axes of their input that may be unknown, of (B, T, H, W, C).
FREE = {
    "lif": (LIF, (2, 3)),
    "lif-learned": (lambda: LIF(learn=True), (2, 3)),
    "context": (lambda: GlobalContext(ratio=1), (1, 2, 3)),
    "steps": (Steps, (2, 3)),
    "staa": (lambda: STAA(position=None, **PLAIN), (2, 3)),
    "staa-context": (lambda: STAA(position=None, **PLAIN, step_gate=False), (1, 2, 3)),
    "staalif": (lambda: STAALIF(position=None, **PLAIN), (2, 3)),
    "staalif-context": (
        lambda: STAALIF(position=None, **PLAIN, step_gate=False),
        (2, 3),
    ),
    "per-step": (lambda: PerStep(keras.layers.Conv2D(4, 3)), (1, 2, 3)),
    "mean": (MeanOverSteps, (1, 2, 3)),
}
SIZES = ((2, 3, 6, 5, 3), (3, 3, 4, 7, 3))


def model_of(make, shape):
    """A network of a layer, of which a Dense layer makes one number a sample."""
    inputs = keras.Input(shape[1:])
    x = make()(inputs)
    axes = tuple(range(1, len(x.shape) - 1))
    x = keras.layers.Lambda(lambda y: keras.ops.mean(y, axis=axes), output_shape=x.shape[-1:])(x)
    return randomise(keras.Model(inputs, keras.layers.Dense(1)(x)), seed=1)


@pytest.mark.parametrize("name", FREE)
def test_sizes_that_only_the_call_knows(name):
    """Outputs and trained weights of one network for any size, and of one for each size."""
    make, unknown = FREE[name]
    for shape in SIZES:
        free = model_of(make, tuple(None if i in unknown else n for i, n in enumerate(shape)))
        fixed = model_of(make, shape)
        fixed.set_weights(free.get_weights())
        x, y = images(shape[0], shape[1:]), np.arange(shape[0], dtype="float32")[:, None]
        results = []
        for model in (free, fixed):
            model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
            output = model.predict(x, verbose=0)
            model.train_on_batch(x, y)
            results.append([output, *model.get_weights()])
        for got, expected in zip(*results, strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)


def traced(layer, x, signature):
    """What a layer gives where the program is made for sizes of `signature`."""
    if keras.backend.backend() != "tensorflow":
        return keras.ops.convert_to_numpy(layer(x))
    import tensorflow as tf

    call = tf.function(layer, input_signature=[tf.TensorSpec(signature, "float32")])
    output = call(tf.constant(x))
    return output.numpy()


@every_layer
def test_layers_built_for_sizes_that_the_data_do_not_say(name):
    layer, shape = built(name)
    x = images(2, shape)
    unknown = (*[None] * len(shape), shape[-1])
    expected = keras.ops.convert_to_numpy(layer(x))
    np.testing.assert_allclose(traced(layer, x, unknown), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["axial", "full", "sinusoidal"])
@pytest.mark.parametrize("layer", [STAA, STAALIF])
def test_position_encoding_needs_sizes(layer, kind):
    with pytest.raises(ValueError) as error:
        layer(position=kind)(keras.Input((4, None, 8, 16)))
    for part in ("static size on axis H", kind, "position=None", "(None, 4, None, 8, 16)"):
        assert part in str(error.value)
