"""Folders of pictures as batches, read by Pillow on every backend."""

import concurrent.futures
import os
import threading

import keras
import numpy as np

from keras_staa import _keras
from keras_staa.data.batches import MEMORY, EpochBatches
from keras_staa.data.folders import find_folders
from keras_staa.data.image import augmenting
from keras_staa.data.listing import select
from keras_staa.pictures import SUFFIXES, pillow, read_picture

_CHANNELS = 3


def find_pictures(folder):
    """Return the `keras_staa.data.listing.Source` of a folder of pictures."""
    return find_folders(folder, SUFFIXES, "pictures")


def read_folder(folder, split, *, size, layers_for, one_hot, **batches):
    """Read the pictures of a split as batches.

    Args:
        folder: `pathlib.Path` of a folder with one folder per class, or with folders of splits
            that hold those of the classes.
        split: string, as in `keras_staa.data.images`.
        size: None or (height, width).
        layers_for: function from the shape of a picture to the list of augmentation layers.
        one_hot: boolean.
        **batches: `batch_size`, `shuffle`, `seed` and `drop_remainder`.

    Returns:
        `Pictures`.
    """
    pillow()
    source = find_pictures(folder)
    entries = select(source, split)
    size = size or _common_size(entries)
    return Pictures(source.classes, entries, size, layers_for((*size, _CHANNELS)), one_hot, batches)


class Pictures(EpochBatches):
    """Batches of pictures: float32 (batch, height, width, 3) in [0, 1], and labels.

    Made by `keras_staa.data.images` of a folder.

    Attributes:
        classes: list of strings, in the order of the labels.
    """

    def __init__(self, classes, entries, size, layers, one_hot, batches):
        super().__init__(len(entries), **batches)
        self.classes = classes
        self._paths = [entry.address for entry in entries]
        self._labels = np.array([entry.label for entry in entries], "int32")
        self._size, self._layers, self._one_hot = size, layers, one_hot
        # The layers' seeds are those of one batch at a time.
        self._drawing = threading.Lock()
        small = len(entries) * size[0] * size[1] * _CHANNELS <= MEMORY
        self._kept = self._read(range(len(entries))) if small else None

    def __getitem__(self, index):
        # Read first: another thread may start the next pass.
        epoch, places = self._epoch, self.places(index)
        pictures = self._read(places) if self._kept is None else self._kept[places]
        images = pictures.astype("float32") / np.float32(255)
        labels = self._labels[places]
        if self._one_hot:
            labels = np.eye(len(self.classes), dtype="float32")[labels]
        if self._layers:
            images, labels = self._augmented(images, labels, (self.seed, epoch, 1 + index))
        return images, labels

    def _augmented(self, images, labels, seeds):
        images, stream = keras.ops.convert_to_tensor(images), np.random.default_rng(seeds)

        def give():
            return keras.ops.convert_to_tensor(stream.integers(2**31, size=2, dtype="uint32"))

        with self._drawing, _keras.draw_from(self._layers, give):
            images, labels = augmenting.apply(self._layers, images, labels)
        images = keras.ops.convert_to_numpy(images).astype("float32")
        return images, keras.ops.convert_to_numpy(labels)

    def _read(self, places):
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            read = pool.map(lambda place: _array(self._paths[place], self._size), places)
            return np.stack(list(read))


def _common_size(entries):
    """Return the (height, width) that all pictures have."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        sizes = list(pool.map(lambda entry: _size(entry.address), entries))
    for entry, size in zip(entries, sizes, strict=True):
        if size != sizes[0]:
            raise ValueError(
                f"`size` must be given, since the pictures differ in (height, width): {sizes[0]} "
                f"in {entries[0].address}, {size} in {entry.address}. Received: size=None"
            )
    return sizes[0]


def _size(path):
    Image, _ = pillow()
    try:
        with Image.open(path) as picture:
            width, height = picture.size
            # Turned by a quarter when it is read.
            turned = picture.getexif().get(0x0112, 1) >= 5
    except Exception as error:
        raise _error(path, f"is unreadable ({error})") from error
    return (width, height) if turned else (height, width)


def _array(path, size):
    Image, _ = pillow()
    try:
        picture = read_picture(path, "RGB")
    except ValueError as error:
        raise _error(path, error) from error
    if picture.size != (size[1], size[0]):
        picture = picture.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(picture)


def _error(path, reason):
    return ValueError(
        f"`source` must hold pictures that can be read. Received: {path}, which {reason}"
    )
