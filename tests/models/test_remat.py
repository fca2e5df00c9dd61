"""`remat=True`: less memory, and nothing else changes."""

import pathlib

import keras
import numpy as np
import pytest
from keras import ops

import keras_staa
from keras_staa import zoo
from keras_staa.models import Network

SMALL = {"width": 8, "steps": 3, "bypass_rate": 0.5}
IMAGES = {"STAAVGG": (32, 32, 3), "STAAResNet18": (16, 16, 3), "STAAResNet20": (16, 16, 3)}


def made(architecture, remat, **arguments):
    keras.utils.set_random_seed(1)
    create = getattr(keras_staa, architecture)
    model = create(input_shape=IMAGES[architecture], remat=remat, **{**SMALL, **arguments})
    # Larger steps than by default, and no rounding of zero gradients to zero.
    model.compile(keras.optimizers.SGD(0.1), keras.losses.SparseCategoricalCrossentropy())
    return model


@pytest.mark.parametrize(
    "architecture",
    ["STAAVGG", *(pytest.param(n, marks=pytest.mark.slow) for n in list(IMAGES)[1:])],
)
@pytest.mark.heavy
def test_training_is_the_same(architecture):
    rng = np.random.default_rng(0)
    x = rng.random((4, *IMAGES[architecture]), "float32")
    y = np.array([0, 1, 2, 3])
    plain, remat = made(architecture, False), made(architecture, True)
    before = [w.copy() for w in plain.get_weights()]
    for model in (plain, remat):
        model.train_on_batch(x, y)
        # A second step shows moving averages and random draws that went on wrongly.
        model.train_on_batch(x, y)
    moved = 0
    for variable, old, a, b in zip(
        plain.weights, before, plain.get_weights(), remat.get_weights(), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5, err_msg=variable.path)
        moved += not np.array_equal(old, a)
    assert moved > len(before) / 2
    for a, b in zip(plain.variables, remat.variables, strict=True):
        if "seed" in a.path:
            np.testing.assert_array_equal(ops.convert_to_numpy(a), ops.convert_to_numpy(b))
    np.testing.assert_allclose(
        plain.predict(x, verbose=0), remat.predict(x, verbose=0), rtol=1e-3, atol=1e-5
    )


@pytest.mark.slow
def test_low_precision_trains():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = made("STAAVGG", True)
    finally:
        keras.config.set_dtype_policy("float32")
    loss = model.train_on_batch(np.ones((2, 32, 32, 3), "float32"), np.array([0, 1]))
    assert np.isfinite(loss)


@keras.saving.register_keras_serializable("test_remat")
class Costly(keras.layers.Layer):
    """Adds a loss of its input, and counts its calls by a metric and a variable."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.mean = keras.metrics.Mean(name="mean")

    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", shape=(), initializer="ones")
        self.calls = self.add_weight(name="calls", shape=(), initializer="zeros", trainable=False)

    def call(self, x):
        self.calls.assign(self.calls + 1.0)
        self.mean.update_state(x)
        self.add_loss(0.3 * ops.mean(ops.square(self.scale * x - 0.5)))
        return self.scale * x


def segmented(remat):
    """A network of two segments, in both of which layers add losses."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input((6,))
    x = keras.layers.Dense(5, activation="tanh", kernel_regularizer="l2", name="first")(inputs)
    x = Costly(name="costly")(x)
    x = keras.layers.Dense(4, activity_regularizer="l2", name="cut")(x)
    x = keras.layers.Dense(3, bias_regularizer="l1", bias_initializer="ones")(x)
    outputs = Costly(name="last")(x)
    if remat:
        return Network(inputs, outputs, stages={"one": ["cut"]}, remat=True)
    return keras.Model(inputs, outputs)


@pytest.mark.parametrize("eager", [False, True])
def test_losses_and_metrics_of_layers(eager):
    rng = np.random.default_rng(0)
    x, y = rng.normal(0, 1, (8, 6)), rng.normal(0, 1, (8, 3))
    results = []
    for remat in (False, True):
        model = segmented(remat)
        model.compile(keras.optimizers.SGD(0.5), "mse", run_eagerly=eager)
        losses = [model.train_on_batch(x, y, return_dict=True)["loss"] for _ in range(3)]
        metrics = [float(model.get_layer(name).mean.result()) for name in ("costly", "last")]
        results.append([losses, metrics, model.get_weights()])
    plain, remat = results
    assert plain[0][0] > plain[0][-1]
    np.testing.assert_allclose(remat[0], plain[0], rtol=1e-5)
    np.testing.assert_allclose(remat[1], plain[1], rtol=1e-5)
    for a, b in zip(*(r[2] for r in results), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-6)
    assert sum(float(np.sum(w)) == 3.0 for w in plain[2] if np.ndim(w) == 0) == 2


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="A tape is TensorFlow's.")
def test_gradients_of_a_tape():
    import tensorflow as tf

    x = tf.constant(np.random.default_rng(0).normal(0, 1, (8, 6)), tf.float32)
    found = []
    for remat in (False, True):
        model = segmented(remat)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(model(x, training=True) ** 2) + tf.add_n(model.losses)
        assert len(model.losses) == 5
        found.append(tape.gradient(loss, [v.value for v in model.trainable_variables]))
    for plain, remat in zip(*found, strict=True):
        assert np.abs(plain).max() > 0
        np.testing.assert_allclose(remat, plain, rtol=1e-5, atol=1e-6)


@pytest.mark.heavy
def test_frozen_layers_stay():
    model = made("STAAVGG", True)
    frozen = model.get_layer("stage2_1_conv")
    frozen.trainable = False
    model.compile(keras.optimizers.SGD(0.1), keras.losses.SparseCategoricalCrossentropy())
    before = [w.copy() for w in frozen.get_weights()]
    model.train_on_batch(np.random.rand(2, 32, 32, 3), np.array([0, 1]))
    for old, new in zip(before, frozen.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.heavy
def test_weight_files_and_presets_are_the_same(tmp_path):
    plain, remat = made("STAAVGG", False), made("STAAVGG", True)
    x = np.random.default_rng(0).random((2, 32, 32, 3), "float32")
    remat.save_weights(tmp_path / "a.weights.h5")
    plain.set_weights([w + 1 for w in plain.get_weights()])
    plain.load_weights(tmp_path / "a.weights.h5")
    np.testing.assert_array_equal(plain.predict(x, verbose=0), remat.predict(x, verbose=0))
    zoo.save(remat, tmp_path / "preset", data_set="none", class_names=list("abcdefghij"))
    assert zoo.load(tmp_path / "preset").get_config()["remat"] is False
    again = keras_staa.STAAVGG(weights=str(tmp_path / "preset"), remat=True)
    assert again.get_config()["remat"] is True


@pytest.mark.slow
def test_a_keras_file_keeps_it(tmp_path):
    model = made("STAAVGG", True)
    x = np.random.default_rng(0).random((2, 32, 32, 3), "float32")
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert type(again) is type(model)
    assert again.get_config()["stages"] == model.get_config()["stages"] != {}
    assert again.get_config()["remat"] is True
    np.testing.assert_array_equal(model.predict(x, verbose=0), again.predict(x, verbose=0))


@pytest.mark.slow
@pytest.mark.release  # XLA takes minutes to compile both.
@pytest.mark.skipif(keras.backend.backend() != "jax", reason="asks XLA, through JAX")
def test_memory_is_less(monkeypatch):
    monkeypatch.syspath_prepend(pathlib.Path(__file__).parents[2] / "benchmarks")
    from memory import allocated

    sizes = [allocated(made("STAAResNet18", remat, steps=16), 4) for remat in (False, True)]
    assert sizes[1] < 0.6 * sizes[0]
