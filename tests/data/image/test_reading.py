"""Data sets read through TensorFlow Datasets, against the arrays they were written from."""

import importlib
import pathlib
import warnings

import keras
import numpy as np
import pytest

from keras_staa import data
from tests.data.image.builders import NAMES, SHAPE, TEST, TRAIN, Tiny, arrays, numpy
from tests.data.support import joined
from tests.real import prepare

tf = pytest.importorskip("tensorflow")
tfds = pytest.importorskip("tensorflow_datasets")

MODULE = importlib.import_module("keras_staa.data.image.reading")


@pytest.mark.parametrize("split, part", [("test", slice(None)), ("train[:8]", slice(8))])
def test_values_and_labels_are_those_written(read, split, part):
    # Only a split that starts with "train" is shuffled unasked.
    batches = numpy(read(split=split, batch_size=3, shuffle=None if split == "test" else False))
    expected, labels = arrays(split[:5].strip("["))
    found, classes = joined(batches)
    assert found.dtype == np.float32 and classes.dtype == np.int32
    np.testing.assert_allclose(found, expected[part] / 255.0, rtol=1e-6)
    np.testing.assert_array_equal(classes, labels[part])


def test_one_hot_labels(read):
    _, labels = joined(numpy(read(split="test", one_hot=True)))
    assert labels.dtype == np.float32
    np.testing.assert_array_equal(labels, np.eye(3)[arrays("test")[1]])


@pytest.mark.parametrize("drop, sizes", [(False, [4, 4, 3]), (True, [4, 4])])
def test_last_partial_batch(read, drop, sizes):
    batches = numpy(read(batch_size=4, drop_remainder=drop))
    assert [len(images) for images, _ in batches] == sizes


def test_layers_as_augmentation(read):
    rescaling = keras.layers.Rescaling(0.5)
    expected = arrays("test")[0] / 255.0
    for augment, factor in ((rescaling, 0.5), ([rescaling, rescaling], 0.25)):
        found, _ = joined(numpy(read(split="test", augment=augment)))
        np.testing.assert_allclose(found, expected * factor, rtol=1e-6)


@pytest.mark.parametrize("size, side", [(6, (6, 6)), ((6, 10), (6, 10))])
def test_size(read, size, side):
    dataset = read(split="test", size=size)
    assert tuple(dataset.element_spec[0].shape) == (None, *side, 3)
    found, _ = joined(numpy(dataset))
    assert found.shape == (TEST, *side, 3)
    # A smoothing resize keeps the mean; sampling alone would be off by more.
    means = arrays("test")[0].mean((1, 2, 3)) / 255
    np.testing.assert_allclose(found.mean((1, 2, 3)), means, atol=0.01)


def test_images_that_differ_in_size_need_a_size(read):
    with pytest.raises(ValueError, match="`size` must be given.*'mixed/1.0.0'.*size=None"):
        read("mixed")
    found, _ = joined(numpy(read("mixed", size=8)))
    assert found.shape == (TRAIN, 8, 8, 3)


def test_a_builder_as_source(data_dir):
    found, _ = joined(numpy(data.images(Tiny(data_dir=data_dir), "test", download=False)))
    np.testing.assert_allclose(found, arrays("test")[0] / 255.0, rtol=1e-6)


def test_class_names(data_dir):
    assert data.class_names("tiny", data_dir=data_dir) == NAMES
    with pytest.raises(ValueError, match="`data_dir` must hold"):
        data.class_names("absent", data_dir=data_dir)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"source": "cifar10"}, "`data_dir` must hold the prepared data set 'cifar10'"),
        ({"source": "numbers"}, "`source` must be a data set of images with class labels"),
        ({"split": "validation"}, "`split` must be one of.*train.*Received: split='validation'"),
        ({"augment": "mirror"}, r"`augment` must be None, one of \['crop', 'standard'"),
        ({"augment": [1]}, r"`augment` must be None.*Received: augment=\[1\]"),
        ({"batch_size": 0}, "`batch_size` must be a positive integer"),
        ({"size": (8, 8, 3)}, "`size` must be an integer or"),
        ({"size": 0}, "`size` must be a positive integer"),
    ],
)
def test_errors_name_the_argument(read, data_dir, arguments, message):
    with pytest.raises(ValueError, match=message) as error:
        read(**arguments)
    if arguments.get("source") == "cifar10":
        assert str(data_dir) in str(error.value)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OSError, match="'tiny' is not in data_dir=.*file/data'.*not be downloaded"):
        data.images("tiny", data_dir=tmp_path / "file" / "data")


def test_unknown_to_tensorflow_datasets(data_dir):
    with pytest.raises(ValueError, match="`source` must be .*Received: source='no_such_data'"):
        data.images("no_such_data", data_dir=data_dir, download=True)


@pytest.mark.parametrize("one_hot", [False, True])
def test_an_image_without_a_label_is_an_error(read, one_hot):
    with pytest.raises(
        tf.errors.InvalidArgumentError, match="`split` must have labels.*split=.*test"
    ):
        numpy(read("unlabelled", "test", one_hot=one_hot))
    assert len(numpy(read("unlabelled", "test[:3]", one_hot=one_hot))) == 1


@pytest.mark.parametrize("path", ["./tiny", "../tiny", "{}/tiny", pathlib.Path("tiny"), 3])
def test_a_path_is_no_name(read, tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    path = path.format(tmp_path) if isinstance(path, str) else path
    with pytest.raises(ValueError, match="`source` must be the path of .*data set.*source="):
        read(path)


def test_a_folder_called_like_a_data_set_is_a_warning(read, data_dir, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny").mkdir()
    with pytest.warns(UserWarning, match="`source='tiny'` is the data set") as caught:
        read("tiny")
    assert repr(str(data_dir)) in str(caught[0].message)
    assert repr(str(tmp_path / "tiny")) in str(caught[0].message)
    # That of the data set itself.
    monkeypatch.chdir(data_dir)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read("tiny")


def test_a_folder_of_images_by_its_builder(tmp_path):
    images, labels = arrays("train")
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        path = tmp_path / "train" / NAMES[label] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(tf.io.encode_png(image).numpy())
    source = tfds.ImageFolder(str(tmp_path))
    found, classes = joined(numpy(data.images(source, size=SHAPE[:2], seed=1)))
    known = {image.tobytes(): label for image, label in zip(images, labels, strict=True)}
    back = [known[np.rint(image * 255).astype("uint8").tobytes()] for image in found]
    assert back == classes.tolist() and len(back) == TRAIN
    assert data.class_names(source) == NAMES
    (tmp_path / "train" / ".ipynb_checkpoints").mkdir()
    with pytest.raises(ValueError, match=r"no hidden folders.*\['.ipynb_checkpoints'\]"):
        data.images(tfds.ImageFolder(str(tmp_path)), size=8)


def small_network(shape, classes):
    layers = [keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(classes)]
    model = keras.Sequential(layers)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.01), loss)
    return model


def test_fit_takes_the_batches(read):
    model = small_network(SHAPE, 3)
    before = model.get_weights()[0]
    history = model.fit(read(batch_size=4, augment="standard"), epochs=2, verbose=0)
    assert np.all(np.isfinite(history.history["loss"]))
    assert not np.array_equal(before, model.get_weights()[0])


@pytest.mark.slow
def test_cifar10(tmp_path):
    prepare(tmp_path)

    def read(split, **more):
        return data.images("cifar10", split, data_dir=tmp_path, download=False, **more)

    assert data.class_names("cifar10", tmp_path)[2:5] == ["bird", "cat", "deer"]
    assert len(data.class_names("cifar10", tmp_path)) == 10
    total, count, classes = np.zeros(3), 0, np.zeros(10)
    for images, labels in read("train", batch_size=1000, shuffle=False):
        total += images.numpy().astype("float64").mean((1, 2)).sum(0)
        count += len(images)
        classes += np.bincount(labels.numpy(), minlength=10)
    assert count == 50_000 and classes.tolist() == [5000] * 10
    np.testing.assert_allclose(total / count, [0.4914, 0.4822, 0.4465], atol=1e-4)
    tests = np.concatenate([labels.numpy() for _, labels in read("test")])
    assert np.bincount(tests).tolist() == [1000] * 10
    model = small_network((32, 32, 3), 10)
    history = model.fit(read("train", augment="standard").take(1), verbose=0)
    assert np.isfinite(history.history["loss"][0])
