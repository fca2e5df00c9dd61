"""Folders of recordings and what must be read from them."""

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
