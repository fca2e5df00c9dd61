"""Passes over a data set: order, augmentation, and what they follow from."""

import importlib

import keras
import numpy as np
import pytest

from tests.data.image.builders import LEVELS, SHAPE, TRAIN, arrays, numpy
from tests.data.support import check_mixtures, joined, mixing

tf = pytest.importorskip("tensorflow")
tfds = pytest.importorskip("tensorflow_datasets")

MODULE = importlib.import_module("keras_staa.data.image.reading")


@pytest.mark.parametrize("memory", [2**30, 4000], ids=["in memory", "from files"])
def test_a_shuffled_pass_has_each_image_once_with_its_label(read, memory, monkeypatch):
    # The data set has a fixed order: `disable_shuffling` of TFDS.
    monkeypatch.setattr(MODULE, "MEMORY", memory)
    expected, labels = arrays("train")
    pairs = zip(expected, labels, strict=True)
    known = {image.tobytes(): (i, label) for i, (image, label) in enumerate(pairs)}
    orders = []
    dataset = read(batch_size=4)
    for _ in range(2):
        found, classes = joined(numpy(dataset))
        pairs = [known[np.rint(image * 255).astype("uint8").tobytes()] for image in found]
        assert [label for _, label in pairs] == classes.tolist()
        orders.append([index for index, _ in pairs])
        assert sorted(orders[-1]) == list(range(TRAIN)) != orders[-1]
    assert orders[0] != orders[1]


@pytest.mark.parametrize("augment", ["crop", "standard", "cutout"])
def test_images_of_one_batch_are_augmented_apart(read, augment):
    # The data set holds one image over and over.
    ((images, _),) = numpy(read("alike", batch_size=TRAIN, augment=augment))
    # 11 draws of the 81 crops: fewer than 6 that differ have a chance below 1e-6.
    assert images.shape == (TRAIN, *SHAPE) and images.dtype == np.float32
    assert len({image.tobytes() for image in images}) >= 6
    ((plain, _),) = numpy(read("alike", batch_size=TRAIN))
    assert len({image.tobytes() for image in plain}) == 1


@pytest.mark.parametrize("layer", mixing(), ids=lambda layer: layer.name)
def test_mixtures_have_the_labels_of_their_parts(read, layer):
    flip = keras.layers.RandomFlip("horizontal")
    options = {"batch_size": TRAIN, "one_hot": True, "augment": [flip, layer]}
    images, labels = joined(numpy(read("levels", **options)))
    assert ((labels > 0.01) & (labels < 0.99)).any()
    check_mixtures(images, labels, LEVELS / 255)
    with pytest.raises(ValueError, match="`one_hot` must be True for keras.layers.MixUp"):
        read("levels", augment=layer)


def test_the_seed_fixes_the_batches_and_passes_differ(read):
    def passes(seed):
        dataset = read("alike", batch_size=4, augment="standard", seed=seed)
        return [joined(numpy(dataset))[0] for _ in range(2)]

    first, again, other = passes(1), passes(1), passes(2)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first[0], other[0])


@pytest.mark.parametrize("memory", [2**30, 4000], ids=["in memory", "from files"])
def test_global_seeds_change_nothing(read, memory, monkeypatch):
    monkeypatch.setattr(MODULE, "MEMORY", memory)
    found = []
    try:
        for seed in (None, 0, 7):
            tf.random.set_seed(seed)
            found.append(joined(numpy(read("shards", batch_size=4, augment="crop", seed=1)))[0])
    finally:
        tf.random.set_seed(None)
    np.testing.assert_array_equal(found[1], found[0])
    np.testing.assert_array_equal(found[2], found[0])


def test_a_look_at_one_batch_changes_no_later_pass(read):
    whole, looked_at = (read(batch_size=4, augment="crop", seed=3) for _ in range(2))
    next(iter(looked_at))
    list(whole)
    np.testing.assert_array_equal(joined(numpy(looked_at))[0], joined(numpy(whole))[0])


@pytest.mark.parametrize("kept", [True, False], ids=["in memory", "from files"])
def test_an_epoch_can_be_set(read, kept, monkeypatch):
    """Its order and its augmentation, also behind `map`, whatever was read before."""
    if not kept:
        monkeypatch.setattr(MODULE, "MEMORY", 4000)
    options = {"augment": "standard", "batch_size": 4, "seed": 5}
    # Two files are read in an order of their own.
    dataset, other = (read("shards", **options) for _ in range(2))
    passes = [joined(numpy(dataset)) for _ in range(3)]
    assert not np.array_equal(passes[1][0], passes[2][0])
    derived = other.map(lambda images, labels: (2 * images, labels))
    for epoch in (2, 0, 1):
        next(iter(derived))
        other.set_epoch(epoch)
        found = joined(numpy(derived))
        np.testing.assert_array_equal(found[0], 2 * passes[epoch][0])
        np.testing.assert_array_equal(found[1], passes[epoch][1])
    assert len(dataset) == 3


def test_images_are_decoded_once(read, monkeypatch):
    """Each pass takes what is in memory, in another order."""
    decoded = tf.Variable(0, dtype="int64")

    def counting(tf, size, crop):
        def count(image, label):
            decoded.assign_add(1)
            return image, label

        return count

    monkeypatch.setattr(MODULE, "_resizer", counting)
    dataset = read(size=SHAPE[:2], batch_size=4)
    next(iter(dataset))
    for _ in range(3):
        list(dataset)
    assert decoded.numpy() == TRAIN
