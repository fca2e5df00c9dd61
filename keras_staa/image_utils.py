"""What stands before and behind a network for images: values in [0, 1], and names of classes."""

import os
import warnings

import keras
import numpy as np
from keras import ops

from keras_staa import checks, presets

# Above it, values are not of [0, 1]; resampled images overshoot 1 by less.
HIGHEST = 1.5
# So many images are looked at: any one of 0 to 255 shows it.
LOOKED_AT = 16


def preprocess_input(x, data_format=None):
    """Scales images from [0, 255] to [0, 1], as the networks take them.

    The data set's mean and deviation are part of the networks. It stands for `preprocess_input` of
    `keras.applications`, but leaves its argument as it is. Images of `keras_staa.data.images`
    are scaled already.

    Args:
        x: images `(..., height, width, channels)` in [0, 255] of any dtype: a NumPy array, a
            tensor, a Keras tensor, or a tensor of `tf.data` on any backend.
        data_format: None or `"channels_last"`, the form of all networks of this library.

    Returns:
        float32 of the same shape: an array for an array, else a tensor.

    Raises:
        ValueError: for another `data_format`.

    Example:

    >>> preprocess_input(np.array([[[[0, 51, 255]]]], "uint8"))
    array([[[[0. , 0.2, 1. ]]]], dtype=float32)
    """
    checks.choice("data_format", data_format, (None, "channels_last"))
    if isinstance(x, (np.ndarray, list, tuple)):
        return np.asarray(x, "float32") / np.float32(255)
    # A layer takes the tensors of `tf.data` on every backend.
    return keras.layers.Rescaling(1 / 255, dtype="float32")(x)


def decode_predictions(preds, top=5, model=None):
    """Names what a network predicts.

    Args:
        preds: probabilities (B, classes), an array or a tensor.
        top: positive integer, how many classes are named for each image; at most all are.
        model: what says the names of the classes: a network that has `class_names`, as
            `keras_staa.zoo.load` gives them; name, alias or folder of a preset; or a list of
            strings.

    Returns:
        For each image a list of tuples `(class, name, probability)`, the most probable first.
        As many as in `keras.applications`, where the first is the WordNet ID.

    Raises:
        ValueError: if `preds` has another shape, or `model` does not say as many names.

    Example:

    >>> decode_predictions(np.array([[0.1, 0.7, 0.2]]), top=2, model=["cat", "dog", "frog"])
    [[(1, 'dog', 0.7), (2, 'frog', 0.2)]]
    """
    top = checks.positive_int("top", top)
    names = _class_names(model)
    preds = ops.convert_to_numpy(preds)
    if preds.ndim != 2 or preds.shape[1] != len(names):
        raise ValueError(
            "`preds` must be probabilities (batch, classes) of the classes that `model` names, "
            f"here {len(names)}. Received: preds.shape={preds.shape}"
        )
    best = np.argsort(-preds, axis=1, kind="stable")[:, :top]
    return [
        [(int(i), names[i], float(row[i])) for i in order]
        for row, order in zip(preds, best, strict=True)
    ]


def _class_names(model):
    names = model
    if hasattr(model, "class_names"):
        names = model.class_names
    elif isinstance(model, (str, os.PathLike)):
        names = presets.open_preset(model).class_names
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise ValueError(
            "`model` must be a network with `class_names`, as `keras_staa.zoo.load` gives one with "
            "the trained read-out, the name or folder of a preset, or a list of names. Received: "
            f"model={model!r}"
        )
    return list(names)


def warn_of_range(name, x, arrays_only=False):
    """Warn if images are not in [0, 1], of which the first few are looked at.

    Args:
        name: of the network.
        x: what the network is given; only arrays and tensors are looked at, nothing is read from
            data sets.
        arrays_only: whether tensors are passed over, as they are in every step of a training.

    Returns:
        Whether it warned.
    """
    if arrays_only and not isinstance(x, np.ndarray):
        return False
    largest = _largest(x)
    if largest <= HIGHEST:
        return False
    warnings.warn(
        f"Network '{name}' takes images in [0, 1], and was given values up to {largest:g}. "
        "`keras_staa.preprocess_input` scales images of 0 to 255.",
        stacklevel=4,
    )
    return True


def _largest(x):
    """Return the largest value of the first images; 0 for what is no array of numbers or tensor."""
    if isinstance(x, (list, tuple)) and len(x) == 1:
        x = x[0]
    if not isinstance(x, np.ndarray) and not ops.is_tensor(x):
        return 0
    if not x.shape or not x.shape[0]:
        return 0
    first = ops.convert_to_numpy(x[:LOOKED_AT])
    # `fmax` passes over NaN without a word.
    return float(np.fmax.reduce(first, axis=None, initial=0)) if first.dtype.kind in "iuf" else 0
