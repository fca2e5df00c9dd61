"""Classifiers, detectors and augmentation of keras-cv with networks of this library."""

import keras
import numpy as np
import pytest

import keras_staa
from keras_staa.models import FeaturePyramid, feature_pyramid
from keras_staa.training.build import _layer
from tests.zoo.support import images, randomise

keras_cv = pytest.importorskip("keras_cv")


@pytest.fixture(scope="module")
def backbone():
    network = keras_staa.STAAResNet34(
        width=4,
        steps=2,
        input_shape=(64, 64, 3),
        include_top=False,
        neuron={"threshold": 0.2},
    )
    return feature_pyramid(randomise(network))


@pytest.mark.heavy
def test_a_classifier_is_trained_saved_and_read(tmp_path):
    backbone = keras_staa.zoo.load("vgg_w32_t2.cifar10", include_top=False, pooling="steps")
    model = keras_cv.models.ImageClassifier(backbone, 3)
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    x, y = images(6, shape=(32, 32, 3)), np.arange(6) % 3
    before = model.get_layer("predictions").get_weights()[0]
    model.fit(x, y, verbose=0)
    assert np.any(before != model.get_layer("predictions").get_weights()[0])
    model.save(tmp_path / "a.keras")
    again = keras.saving.load_model(tmp_path / "a.keras")
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))


@pytest.mark.heavy
def test_feature_maps_are_means_over_time(backbone):
    x = images(2, shape=(64, 64, 3))
    found = backbone.predict(x, verbose=0)
    assert list(found) == list(backbone.pyramid_level_inputs) == ["P1", "P2", "P3", "P4", "P5"]
    ends = ["stem_neuron", *(f"stage{n}_block{b}_2_neuron" for n, b in enumerate((3, 4, 6, 3), 1))]
    stages = keras.Model(backbone.inputs, [backbone.get_layer(name).output for name in ends])
    for level, steps in zip(found, stages.predict(x, verbose=0), strict=True):
        assert steps.shape[1] == 2
        np.testing.assert_allclose(found[level], steps.mean(1), atol=1e-6)
        assert tuple(backbone.pyramid_outputs[level].shape[1:]) == found[level].shape[1:]
        assert found[level].shape[1] == 64 >> int(level[1:])
    assert np.ptp(found["P5"]) > 0


@pytest.mark.heavy
def test_a_backbone_is_saved_and_read(backbone, tmp_path):
    backbone.save(tmp_path / "a.keras")
    again = keras.saving.load_model(tmp_path / "a.keras")
    assert isinstance(again, FeaturePyramid)
    assert again.pyramid_level_inputs == backbone.pyramid_level_inputs
    x = images(1, shape=(64, 64, 3))
    for a, b in zip(*(m.predict(x, verbose=0).values() for m in (backbone, again)), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.heavy
def test_a_detector_runs_a_step(backbone):
    model = keras_cv.models.RetinaNet(backbone, num_classes=2, bounding_box_format="xyxy")
    model.compile(
        classification_loss="focal",
        box_loss="smoothl1",
        optimizer=keras.optimizers.SGD(0.01, global_clipnorm=10.0),
        jit_compile=False,
    )
    before = backbone.get_layer("stage2_block1_1_conv").get_weights()[0].copy()
    boxes = np.array([[[0, 0, 32, 32], [8, 16, 60, 60]]] * 2, "float32")
    y = {"boxes": boxes, "classes": np.array([[0, 1]] * 2, "float32")}
    history = model.fit(images(2, shape=(64, 64, 3)), y, batch_size=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    # The gradient reaches the spiking layers.
    assert np.any(before != backbone.get_layer("stage2_block1_1_conv").get_weights()[0])


def test_networks_without_maps():
    with pytest.raises(ValueError, match="`network` must be a network with stages"):
        feature_pyramid(keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(2, 3)]))
    anywhere = keras_staa.STAAVGG(width=4, input_shape=(None, None, 3), attention=False)
    with pytest.raises(ValueError, match="must have an `input_shape` with a height"):
        feature_pyramid(anywhere)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (16, 16, 16, 3), dtype="uint8"), np.arange(16) % 4
    path = tmp_path_factory.mktemp("data") / "noise.npz"
    np.savez(path, x_train=x, y_train=y, x_test=x, y_test=y)
    return path


def test_augmentation(pictures):
    layer = keras_cv.layers.GridMask()
    (x, y), (masked, same) = (
        next(iter(keras_staa.data.images(pictures, "test", batch_size=16, augment=a)))
        for a in (None, layer)
    )
    x, y, masked, same = (keras.ops.convert_to_numpy(v) for v in (x, y, masked, same))
    np.testing.assert_array_equal(y, same)
    changed = np.any(x != masked, axis=-1)
    assert 0.02 < changed.mean() < 0.98
    # What it masks is black, and the rest is as it was.
    np.testing.assert_array_equal(masked[changed], 0.0)
    np.testing.assert_allclose(masked[~changed], x[~changed], atol=1e-6)


@pytest.mark.parametrize("name", ["MixUp", "CutMix"])
def test_layers_that_mix_labels(name, pictures):
    layer = getattr(keras_cv.layers, name)()
    options = {"batch_size": 16, "augment": layer}
    with pytest.raises(ValueError, match="`one_hot` must be True"):
        keras_staa.data.images(pictures, "train", **options)
    batches = keras_staa.data.images(pictures, "train", one_hot=True, **options)
    x, y = (keras.ops.convert_to_numpy(v) for v in next(iter(batches)))
    np.testing.assert_allclose(y.sum(1), 1.0, rtol=1e-5)
    assert np.any((y > 0.01) & (y < 0.99))
    assert x.dtype == y.dtype == "float32" and x.min() >= 0 and x.max() <= 1


def test_names_in_recipes():
    factors = {"height_factor": 0.5, "width_factor": [0.1, 0.2]}
    layer = _layer({"class_name": "keras_cv.layers.RandomCutout", **factors})
    assert isinstance(layer, keras_cv.layers.RandomCutout)
    with pytest.raises(ValueError, match="`class_name` in `data.augment` must be a layer"):
        _layer({"class_name": "keras_cv.layers.Nothing"})
