"""Statistics of batch normalization after a training, against NumPy."""

import keras
import numpy as np
import pytest

from keras_staa import STAACompact, data
from keras_staa.training import recalibrate


def network():
    inputs = keras.Input((3,))
    x = keras.layers.BatchNormalization(momentum=0.9, epsilon=0.0, name="first")(inputs)
    x = keras.layers.BatchNormalization(momentum=0.8, name="second")(keras.layers.Dense(2)(x))
    return keras.Model(inputs, x)


def test_they_are_those_of_all_samples():
    """Also where batches differ among themselves and in size, the last one here."""
    rng = np.random.default_rng(0)
    x = rng.normal(2, 3, (35, 3)) + np.arange(35)[:, None] // 10
    x = x.astype("float32")
    model = network()
    kernel = model.layers[2].get_weights()[0]
    batches = data.arrays(x, batch_size=10, shuffle=False)
    assert recalibrate(model, batches) is model
    mean, variance = model.get_layer("first").get_weights()[2:]
    np.testing.assert_allclose(mean, x.mean(0), rtol=1e-5)
    np.testing.assert_allclose(variance, x.var(0), rtol=1e-5)
    # The second sees what the first makes of each batch.
    parts = np.split(x, [10, 20, 30])
    hidden = np.concatenate([(part - part.mean(0)) / part.std(0) for part in parts]) @ kernel
    mean, variance = model.get_layer("second").get_weights()[2:]
    np.testing.assert_allclose(mean, hidden.mean(0), atol=1e-5)
    np.testing.assert_allclose(variance, hidden.var(0), rtol=1e-4)
    assert [model.get_layer(name).momentum for name in ("first", "second")] == [0.9, 0.8]


def test_the_variance_of_equal_samples_is_not_negative():
    model = recalibrate(network(), data.arrays(np.full((8, 3), 1e4, "float32"), batch_size=3))
    assert (model.get_layer("first").get_weights()[3] >= 0).all()


def test_as_many_batches_as_asked_for():
    x = np.random.default_rng(0).normal(size=(40, 3)).astype("float32")
    model = recalibrate(network(), data.arrays(x, batch_size=10, shuffle=False), steps=2)
    mean = model.get_layer("first").get_weights()[2]
    np.testing.assert_allclose(mean, x[:20].mean(0), atol=1e-6)


@pytest.mark.heavy
def test_nothing_else_changes():
    model = STAACompact(width=4, steps=2, input_shape=(16, 16, 3))
    before = {v.path: keras.ops.convert_to_numpy(v) for v in model.variables}
    x = np.random.default_rng(0).random((12, 16, 16, 3), "float32")
    recalibrate(model, data.arrays(x, batch_size=6))
    changed = {
        v.path.rsplit("/", 1)[-1]
        for v in model.variables
        if not np.array_equal(before[v.path], keras.ops.convert_to_numpy(v))
    }
    assert changed == {"moving_mean", "moving_variance"}


def test_frozen_layers_stay():
    model = network()
    model.get_layer("first").trainable = False
    recalibrate(model, data.arrays(np.ones((8, 3), "float32") * 5, batch_size=4))
    np.testing.assert_array_equal(model.get_layer("first").get_weights()[2], np.zeros(3))


def test_without_batches():
    with pytest.raises(ValueError, match="`batches` must have at least one batch"):
        recalibrate(network(), [])
