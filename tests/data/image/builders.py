"""Small data sets of TensorFlow Datasets, and the arrays that they are written from."""

import numpy as np
import pytest

tfds = pytest.importorskip("tensorflow_datasets")

NAMES = ["cat", "dog", "owl"]
SHAPE = (12, 20, 3)
LEVELS = np.array([50, 100, 200])
TRAIN, TEST = 11, 5


def arrays(split):
    count = {"train": TRAIN, "test": TEST}[split]
    rng = np.random.default_rng(count)
    return rng.integers(1, 256, (count, *SHAPE), dtype=np.uint8), np.arange(count) % len(NAMES)


class Tiny(tfds.core.GeneratorBasedBuilder):
    """Few images, in the order of `arrays`."""

    VERSION = tfds.core.Version("1.0.0")
    shape = SHAPE
    ordered = True
    target = tfds.features.ClassLabel(names=NAMES)

    def _info(self):
        features = {"image": tfds.features.Image(shape=self.shape), "label": self.target}
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "label"),
            disable_shuffling=self.ordered,
        )

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in ("train", "test")}

    def _generate_examples(self, split):
        for index, (image, label) in enumerate(zip(*arrays(split), strict=True)):
            yield index, {"image": self.resized(image, index), "label": label}

    def resized(self, image, index):
        return image


class Shards(Tiny):
    """In several files."""

    VERSION = tfds.core.Version("1.0.0")

    ordered = False


class Mixed(Tiny):
    """Images that differ in size."""

    VERSION = tfds.core.Version("1.0.0")
    shape = (None, None, 3)

    def resized(self, image, index):
        return image[: 12 - index]


class Alike(Tiny):
    """One image over and over."""

    VERSION = tfds.core.Version("1.0.0")

    def resized(self, image, index):
        return arrays("train")[0][0]


class Levels(Tiny):
    """Images of one value for each class."""

    VERSION = tfds.core.Version("1.0.0")

    def _generate_examples(self, split):
        for index, example in super()._generate_examples(split):
            image = np.full(SHAPE, LEVELS[example["label"]], "uint8")
            yield index, {**example, "image": image}


class Numbers(Tiny):
    """Images with a number in place of a class."""

    VERSION = tfds.core.Version("1.0.0")
    target = np.int64


class Unlabelled(Tiny):
    """One of its images has no label."""

    VERSION = tfds.core.Version("1.0.0")

    def _generate_examples(self, split):
        for index, example in super()._generate_examples(split):
            yield index, {**example, "label": -1 if index == 3 else example["label"]}


ALL = (Tiny, Shards, Mixed, Alike, Levels, Numbers, Unlabelled)


def numpy(dataset):
    return [tuple(part.numpy() for part in batch) for batch in dataset]
