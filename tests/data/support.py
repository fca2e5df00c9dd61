"""Folders of recordings and what must be read from them."""

import keras
import numpy as np

from keras_staa.data.event import frames
from tests.data.formats import files

CLASSES = ("2", "10", "cat")


def folder_of(folder, count=4, parts=("",), kind="nmnist", **arguments):
    """A folder of recordings; the seed of each is its place in its class."""
    suffix, writer, _ = files.FORMATS[kind]
    for part in parts:
        for label, name in enumerate(CLASSES):
            (folder / part / name).mkdir(parents=True)
            for index in range(count):
                made = files.events(300, seed=100 * label + index, **arguments)
                writer(folder / part / name / f"r{index}{suffix}", made)
    return folder


def expected(label, index, steps, by="time", size=(34, 34)):
    made = files.events(300, seed=100 * label + index)
    plan = frames.Plan((34, 34), steps, by, size)
    return next(frames.samples([made], plan))[1].astype("float32")


def mixing():
    """Layers of Keras that mix images and labels."""
    return [
        keras.layers.MixUp(alpha=1.0, name="mixup"),
        keras.layers.CutMix((0.9, 1.0), name="cutmix"),
    ]


def check_mixtures(images, labels, levels):
    """Images whose pixels all have the level of their class have the labels of their mixture."""
    height, width = images.shape[1:3]
    # The rectangle of CutMix begins between two pixels, and its labels know that.
    rounding = (height + width + 1) / (height * width) * np.ptp(levels)
    error = np.abs(images.mean((1, 2, 3)) - labels @ levels)
    assert error.max() < rounding and np.abs(labels.sum(-1) - 1).max() < 1e-5


def joined(dataset):
    return [np.concatenate(parts) for parts in zip(*dataset, strict=True)]


def caches(folder):
    return sorted(path.suffix for path in (folder / "cache").iterdir() if path.suffix != ".lock")


class Objects:
    """A data set as those of tonic are, in memory."""

    sensor_size = (34, 34, 2)
    classes = {"b": 1, "a": 0}
    targets = [1, 0, 1, 0]

    def __len__(self):
        return 4

    def __getitem__(self, index):
        made = files.events(300, seed=index)
        given = np.empty(300, [("t", "u8"), ("x", "i2"), ("y", "i2"), ("p", "?")])
        for name in "xytp":
            given[name] = made[name]
        return given, self.targets[index]
