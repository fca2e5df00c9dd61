"""Augmentation as a part of the training step."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_staa
from keras_staa import training
from keras_staa.training.augmented import Augmented, with_labels
from tests.training.support import pictures, recipe_of

CLASSES = 3


def colors(count=12):
    """Images whose mean color is their one-hot label."""
    y = np.eye(CLASSES, dtype="float32")[np.arange(count) % CLASSES]
    return np.broadcast_to(y[:, None, None], (count, 4, 4, CLASSES)).copy(), y


def mean_color():
    inputs = keras.Input((4, 4, CLASSES))
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inputs))


def test_images_and_labels_are_mixed_alike():
    x, y = colors()
    model = Augmented(mean_color(), [keras.layers.MixUp(alpha=1.0, seed=1)])
    model.compile(loss="mse", metrics=["mse"])
    output = model({"images": x, "labels": y}, training=True)
    mixed = ops.convert_to_numpy(output["labels"])
    assert np.abs(mixed - y).max() > 0.1
    np.testing.assert_allclose(ops.convert_to_numpy(output["logits"]), mixed, atol=1e-6)
    assert float(model.compute_loss(None, y, output)) == pytest.approx(0, abs=1e-10)
    metrics = model.compute_metrics(None, y, output)
    assert float(metrics["mse"]) == pytest.approx(0, abs=1e-10)


def test_inference_is_the_network_alone():
    x, y = colors()
    model = Augmented(mean_color(), [keras.layers.MixUp(alpha=1.0, seed=1)])
    np.testing.assert_array_equal(ops.convert_to_numpy(model(x)), y)
    output = model({"images": x, "labels": y}, training=False)
    np.testing.assert_array_equal(ops.convert_to_numpy(output["logits"]), y)


@pytest.mark.heavy
def test_fit_augments_each_batch_anew_and_evaluate_does_not():
    x, y = colors(24)
    seen = []

    class Watch(keras.layers.Layer):
        def call(self, images, training=True):
            seen.append(training)
            return 1.0 - images

    model = Augmented(mean_color(), [Watch()])
    model.compile("sgd", "mse", metrics=["categorical_accuracy"])
    batches = with_labels(keras_staa.data.arrays(x, y, batch_size=8))
    history = model.fit(batches, epochs=2, verbose=0)
    # The negative of the image has its label's color as the darkest.
    assert history.history["categorical_accuracy"] == [0.0, 0.0] and seen
    assert model.evaluate(x, y, verbose=0, return_dict=True)["categorical_accuracy"] == 1.0


def test_batches_of_tensorflow_have_labels_too():
    tf = pytest.importorskip("tensorflow")
    data = tf.data.Dataset.from_tensor_slices(colors()).batch(4)
    data.set_epoch = lambda epoch: None
    inputs, labels = next(iter(with_labels(data)))
    np.testing.assert_array_equal(inputs["labels"], labels)
    assert inputs["images"].shape == (4, 4, 4, CLASSES)


@pytest.mark.heavy
def test_a_recipe_that_augments_in_the_step(tmp_path):
    path = recipe_of(pictures(tmp_path / "colors"))
    changes = ["training.augment_in_step=true", "training.policy=mixed_bfloat16"]
    changes += ['data.augment=["standard", {class_name="MixUp", alpha=0.2}]']
    recipe = training.load_recipe(path, changes)
    samples = training.build.read(recipe, "train", training=True)
    plain = training.build.read(
        training.load_recipe(path, ["data.augment=[]"]), "train", training=True
    )
    np.testing.assert_array_equal(samples[0][0], plain[0][0])
    result = training.train(recipe, tmp_path / "run", verbose=0)
    assert result["epochs"] == 2 and 0 <= result["accuracy"] <= 1


def test_layers_of_a_recipe_compute_in_full_precision(tmp_path):
    path = recipe_of(pictures(tmp_path / "colors"))
    recipe = training.load_recipe(path)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        augment = recipe.data.arguments()["augment"]
        assert [layer.compute_dtype for layer in training.build.augmentation(augment)] == [
            "float32"
        ]
    finally:
        keras.config.set_dtype_policy(before)
