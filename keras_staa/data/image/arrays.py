"""Files of NumPy with all images of a data set, such as `cifar10.npz`."""

import pathlib

import numpy as np

from keras_staa.data.image.batches import Images
from keras_staa.data.listing import part_of

SUFFIX = ".npz"


def file_of(source):
    """Return the path of the file that `source` is, or None."""
    if not isinstance(source, (str, pathlib.Path)) or pathlib.Path(source).suffix != SUFFIX:
        return None
    path = pathlib.Path(source).expanduser()
    if not path.is_file():
        raise ValueError(f"`source` must be a file that is there. Received: source={str(source)!r}")
    return path


def find_classes(path):
    """Return the names of the classes of a file: its `class_names`, or else the labels."""
    with np.load(path, allow_pickle=False) as file:
        if "class_names" in file:
            return [str(name) for name in file["class_names"]]
        labels = [file[name] for name in file.files if name.startswith("y_")]
    return [str(label) for label in range(1 + max(int(y.max()) for y in labels if y.size))]


def read_file(path, split, *, size, layers_for, one_hot, **batches):
    """Read the images of a split as batches.

    Args:
        path: `pathlib.Path` of a file with the arrays `x_train`, `y_train` and so on: uint8 images
            (N, H, W, C) or (N, H, W), and integer labels (N,) or (N, 1).
        split: string, such as `"train"` or `"train[:90%]"`.
        size: None, or (height, width), which must be that of the images.
        layers_for: function from the shape of an image to the list of augmentation layers.
        one_hot: boolean.
        **batches: `batch_size`, `shuffle`, `seed` and `drop_remainder`.

    Returns:
        `Images`.
    """
    with np.load(path, allow_pickle=False) as file:
        splits = sorted(n[2:] for n in file.files if n.startswith("x_") and f"y_{n[2:]}" in file)
        name, part = part_of(split, splits, path)
        x, y = file[f"x_{name}"], file[f"y_{name}"]
    y = y.reshape(len(y), -1)
    if (
        x.dtype != "uint8"
        or x.ndim not in (3, 4)
        or y.shape != (len(x), 1)
        or y.dtype.kind not in "iu"
    ):
        raise ValueError(
            f"`source` must hold uint8 images (N, H, W, C) and integer labels (N,). Received: "
            f"{path} with x_{name} {x.dtype} {x.shape}, y_{name} {y.dtype} {y.shape}"
        )
    x = x[..., None] if x.ndim == 3 else x
    if size is not None and size != x.shape[1:3]:
        raise ValueError(
            f"`size` must be None or {x.shape[1:3]}, the (height, width) of the images in {path}. "
            f"Received: size={size}"
        )
    place = part(len(x))
    x, labels, classes = x[place], y[place, 0], find_classes(path)
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(classes):
        raise ValueError(
            f"`source` must have labels in [0, {len(classes)}). Received: {path} with labels in "
            f"[{labels.min()}, {labels.max()}]"
        )
    return Images(x.__getitem__, labels, classes, layers_for(x.shape[1:]), one_hot, **batches)
