"""Frames of a cache as batches for `fit`."""

import copy
import dataclasses
import hashlib
import math

import numpy as np

from keras_staa.data.batches import MEMORY, EpochBatches
from keras_staa.data.frame.augment import apply


class Frames(EpochBatches):
    """Batches of frames. Made by `events`.

    A batch is float32 `(batch, steps, height, width, 2)` with int32 labels `(batch,)`, or float32
    labels `(batch, classes)`. It may be pickled and read from several threads or processes.

    Attributes:
        classes: list of strings, in the order of the labels.
        sensor_size: (height, width) of the recordings.
        fingerprint: string, of the split: its recordings, their order, contents and classes.
        description: dictionary for the card of a network, with the source, what was asked for, and
            the fingerprints of the source and the split.
        cache: a `Cache` of `keras_staa.data.cache.store`, with `labels`, `recordings`, `starts`
            and `names`.

    Example:

    ```python
    train = keras_staa.data.events("N-MNIST", steps=4)
    frames, labels = train[0]
    train.cache.names[train.cache.recordings[0]]
    ```
    """

    # An epoch's other draws have the places of its batches, from 1 on.
    order_key = (0,)

    def __init__(self, cache, classes, description, *, augment, one_hot, normalize, **batches):
        super().__init__(len(cache.labels), **batches)
        self.cache = cache
        self.classes = list(classes)
        self.sensor_size = cache.sensor_size
        self.fingerprint = description["split_fingerprint"]
        self.description = description
        self.augment = augment
        self.one_hot = one_hot
        self.normalize = normalize
        self._load()

    def _load(self):
        shape = (len(self.cache.labels), *self.cache.shape)
        self._counts = None
        if math.prod(shape) * self.cache.dtype.itemsize <= MEMORY:
            counts = np.empty(shape, self.cache.dtype)
            self._counts = self.cache.read(range(len(counts)), counts)

    def __getstate__(self):
        # Another process reads the file anew, instead of being sent what is in it.
        return {**self.__dict__, "_counts": None}

    def __setstate__(self, state):
        self.__dict__.update(state)
        self._load()

    def __getitem__(self, index):
        taken = self.places(index)
        if self._counts is None:
            frames = np.empty((len(taken), *self.cache.shape), self.cache.dtype)
            self.cache.read(taken, frames)
        else:
            frames = self._counts[taken]
        labels = self.cache.labels[taken]
        if self.one_hot:
            labels = np.eye(len(self.classes), dtype="float32")[labels]
        if self.normalize:
            frames = frames.astype("float32")
            frames /= frames.max((1, 2, 3, 4), keepdims=True)
        if self.augment:
            draws = self.draws_of(self._epoch, index)
            frames, labels = apply(self.augment, frames, labels, draws)
        return frames.astype("float32", copy=False), labels

    def take(self, indices):
        """Return the same data set with some of its samples, such as held-out windows.

        Args:
            indices: integers `(samples,)`, places in `cache.labels`; without shuffling their order
                is that of the samples.

        Returns:
            A `Frames` that starts at its first epoch. Its fingerprint is of the recordings and the
            indices, and its description has how many they are.

        Raises:
            ValueError: if there are none, or one of them is not a place of a sample.

        Example:

        ```python
        early = train.cache.starts < 10e6  # microseconds
        part, rest = train.take(np.flatnonzero(early)), train.take(np.flatnonzero(~early))
        ```
        """
        indices, count = np.asarray(indices), len(self.cache.labels)
        whole = indices.ndim == 1 and indices.size and np.issubdtype(indices.dtype, np.integer)
        if not whole or indices.min() < 0 or indices.max() >= count:
            raise ValueError(
                f"`indices` must be integers (samples,) in [0, {count}), at least one. Received: "
                f"indices={indices!r}"
            )
        names = ("labels", "recordings", "starts", "offsets", "sizes")
        part = copy.copy(self)
        part.cache = dataclasses.replace(
            self.cache, **{name: getattr(self.cache, name)[indices] for name in names}
        )
        text = self.fingerprint.encode() + indices.astype("<i8").tobytes()
        part.fingerprint = hashlib.sha256(text).hexdigest()
        part.description = {
            **self.description,
            "samples": len(indices),
            "split_fingerprint": part.fingerprint,
        }
        part._samples, part._epoch, part._last_order = len(indices), 0, None
        part._load()
        return part
