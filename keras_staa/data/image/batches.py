"""Batches of images that lie in memory or are read for each batch, on every backend."""

import threading

import keras
import numpy as np

from keras_staa import _keras
from keras_staa.data.batches import EpochBatches
from keras_staa.data.image import augmenting


class Images(EpochBatches):
    """Batches of images: float32 (batch, height, width, channels) in [0, 1], and labels.

    Made by `keras_staa.data.images` of a folder or a file.

    Args:
        read: function from the places of a batch, integers, to uint8 images.
        labels: integers (samples,).
        classes: list of strings, the names of the classes in the order of the labels.
        layers: list of layers for augmentation.
        one_hot: boolean.
        **batches: as in `EpochBatches`.
    """

    def __init__(self, read, labels, classes, layers, one_hot, **batches):
        super().__init__(len(labels), **batches)
        self.classes = classes
        self._read, self._labels = read, np.asarray(labels, "int32")
        self._layers, self._one_hot = layers, one_hot
        # The layers' seeds are those of one batch at a time.
        self._drawing = threading.Lock()

    def __getitem__(self, index):
        # Read first: another thread may start the next pass.
        epoch, places = self._epoch, self.places(index)
        images = self._read(places).astype("float32") / np.float32(255)
        labels = self._labels[places]
        if self._one_hot:
            labels = np.eye(len(self.classes), dtype="float32")[labels]
        if self._layers:
            images, labels = self._augmented(images, labels, self.draws_of(epoch, index))
        return images, labels

    def _augmented(self, images, labels, seeds):
        images, stream = keras.ops.convert_to_tensor(images), np.random.default_rng(seeds)
        labels = keras.ops.convert_to_tensor(labels)

        def give():
            return keras.ops.convert_to_tensor(stream.integers(2**31, size=2, dtype="uint32"))

        with self._drawing, _keras.draw_from(self._layers, give):
            images, labels = augmenting.apply(self._layers, images, labels)
        images = keras.ops.convert_to_numpy(images).astype("float32")
        return images, keras.ops.convert_to_numpy(labels)
