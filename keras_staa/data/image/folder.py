"""Folders of pictures as batches, read by Pillow on every backend."""

import concurrent.futures
import os
import warnings

import numpy as np

from keras_staa.data.batches import MEMORY
from keras_staa.data.folders import find_folders
from keras_staa.data.image.batches import Images
from keras_staa.data.listing import select
from keras_staa.pictures import SUFFIXES, pillow, read_picture

_CHANNELS = 3


def find_pictures(folder):
    """Return the `keras_staa.data.listing.Source` of a folder of pictures."""
    return find_folders(folder, SUFFIXES, "pictures")


def read_folder(
    folder, split, *, size, layers_for, one_hot, crop=False, skip_damaged=False, **batches
):
    """Read the pictures of a split as batches.

    Args:
        folder: `pathlib.Path` of a folder with one folder per class, or with folders of splits
            that hold those of the classes.
        split: string, as in `keras_staa.data.images`.
        size: None or (height, width).
        layers_for: function from the shape of a picture to the list of augmentation layers.
        one_hot: boolean.
        crop: boolean, whether a part of the aspect ratio of `size` is resized, and not the whole.
        skip_damaged: boolean, whether pictures that cannot be read are left out.
        **batches: `batch_size`, `shuffle`, `seed`, `drop_remainder` and `workers`.

    Returns:
        `Images`.
    """
    pillow()
    source = find_pictures(folder)
    entries = select(source, split)
    if skip_damaged:
        entries = _whole(entries)
    size = size or _common_size(entries)
    return Images(
        _Reader([entry.address for entry in entries], size, crop),
        [entry.label for entry in entries],
        source.classes,
        layers_for((*size, _CHANNELS)),
        one_hot,
        **batches,
    )


class _Reader:
    """Pictures by their places: kept in memory, or read each time."""

    def __init__(self, paths, size, crop):
        self._paths, self._size, self._crop = paths, size, crop
        small = len(paths) * size[0] * size[1] * _CHANNELS <= MEMORY
        self._kept = self._read(range(len(paths))) if small else None

    def __call__(self, places):
        return self._read(places) if self._kept is None else self._kept[places]

    def _read(self, places):
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            paths = [self._paths[place] for place in places]
            return np.stack(list(pool.map(lambda p: _array(p, self._size, self._crop), paths)))


def _whole(entries):
    """Return the pictures that can be read. A warning names the others."""

    def fault(entry):
        try:
            read_picture(entry.address, "RGB")
        except ValueError as error:
            return f"{entry.address} {error}"
        return None

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        faults = list(pool.map(fault, entries))
    if found := [text for text in faults if text]:
        more = f", and {len(found) - 20} more" if len(found) > 20 else ""
        warnings.warn(
            f"{len(found)} of {len(entries)} pictures are left out: {'; '.join(found[:20])}{more}",
            stacklevel=4,
        )
    whole = [entry for entry, text in zip(entries, faults, strict=True) if text is None]
    if not whole:
        raise ValueError("`source` must hold pictures that can be read. Received: none")
    return whole


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


def _array(path, size, crop):
    Image, _ = pillow()
    try:
        picture = read_picture(path, "RGB")
    except ValueError as error:
        raise _error(path, error) from error
    if crop:
        picture = picture.crop(central(*picture.size, size))
    if picture.size != (size[1], size[0]):
        picture = picture.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(picture)


def central(width, height, size, least=min, most=max):
    """Return the box of the largest central part of an image with the aspect ratio of a size.

    Args:
        width: integer, of the image.
        height: integer, of the image.
        size: (height, width).
        least: function that gives the smaller of two numbers, for tensors that of their library.
        most: function that gives the larger of two numbers.

    Returns:
        Left, top, right and bottom, in whole pixels.
    """
    part_height = least(height, most(width * size[0] // size[1], 1))
    part_width = least(width, most(height * size[1] // size[0], 1))
    left, top = (width - part_width) // 2, (height - part_height) // 2
    return left, top, left + part_width, top + part_height


def _error(path, reason):
    return ValueError(
        f"`source` must hold pictures that can be read. Received: {path}, which {reason}"
    )
