"""Augmentation of frames of events: policies, and their use without a backend."""

import keras
import numpy as np

from keras_staa import checks
from keras_staa.data.frame.base import NUMPY, FrameLayer
from keras_staa.data.frame.layers import (
    FrameCutout,
    FrameFlip,
    FrameMixUp,
    FrameRoll,
    FrameRotation,
    TimeShift,
)
from keras_staa.data.image.augment import seeds_from
from keras_staa.data.pipelines import Pipeline


def _roll(frame_shape, seed):
    return FrameRoll(max(1, min(frame_shape[1:3]) // 10), seed=seed)


def _flip(frame_shape, seed):
    return FrameFlip(seed=seed)


def _rotation(frame_shape, seed):
    return FrameRotation(15, seed=seed)


def _cutout(frame_shape, seed):
    return FrameCutout(max(1, min(frame_shape[1:3]) // 6), seed=seed)


def _time(frame_shape, seed):
    return TimeShift(1, seed=seed)


POLICIES = {
    "shift": (_roll,),
    "standard": (_roll, _flip),
    "strong": (_roll, _flip, _rotation, _cutout, _time),
}


def pipeline(name, frame_shape, seed=None):
    """Return the layers of a named augmentation policy.

    - `"shift"`: roll by up to a tenth of the side; for what must not be mirrored, such as digits.
    - `"standard"`: shift and horizontal flip.
    - `"strong"`: standard, rotation by up to 15 degrees, a cutout with a sixth of the side, and a
      shift in time by up to one step.

    Args:
        name: string, one of the policies above.
        frame_shape: (steps, height, width, channels) of the samples.
        seed: optional integer, from which each layer gets a seed of its own.

    Returns:
        A `keras.layers.Pipeline`.

    Raises:
        ValueError: if the policy is unknown.

    Example:

    >>> augment = pipeline("standard", (4, 34, 34, 2), seed=1)
    >>> tuple(augment(np.ones((2, 4, 34, 34, 2)), training=True).shape)
    (2, 4, 34, 34, 2)
    """
    checks.choice("name", name, list(POLICIES))
    seeds = seeds_from(seed)
    return Pipeline([make(frame_shape, next(seeds)) for make in POLICIES[name]])


def standardize(augment, one_hot, use_multiprocessing):
    """Return `augment` of `events` as a function from the shape of a sample to layers."""
    if augment is None:
        return lambda frame_shape: []
    if isinstance(augment, str):
        checks.choice("augment", augment, list(POLICIES))
        return lambda frame_shape: pipeline(augment, frame_shape).layers
    layers = list(augment) if isinstance(augment, (tuple, list)) else [augment]
    if not all(isinstance(layer, (FrameLayer, *of_images())) for layer in layers):
        raise ValueError(
            f"`augment` must be None, one of {list(POLICIES)}, a layer for frames of "
            f"keras_staa.data, one of {[kind.__name__ for kind in of_images()]} of keras.layers, "
            f"or a list of such layers. Received: augment={augment!r}"
        )
    if not one_hot and any(isinstance(layer, FrameMixUp) for layer in layers):
        raise ValueError("`one_hot` must be True for FrameMixUp to mix labels. Received: False")
    if use_multiprocessing and any(isinstance(layer, of_images()) for layer in layers):
        raise ValueError(
            "`use_multiprocessing` must be False with layers of keras.layers in `augment`: they "
            "run on the backend, which does not survive a fork. Received: True"
        )
    return lambda frame_shape: layers


def of_images():
    """Layers of Keras that move what is in an image, each in its own way for every image."""
    names = ("RandomFlip", "RandomTranslation", "RandomRotation", "RandomZoom", "RandomShear")
    return tuple(getattr(keras.layers, name) for name in names)


def apply(layers, frames, labels, seed):
    """NumPy frames and labels changed by layers, with draws that follow from `seed` alone."""
    generator = np.random.default_rng(seed)
    for layer in layers:
        if not isinstance(layer, FrameLayer):
            frames = _as_images(layer, frames, generator)
            continue
        packed = _packed(frames) if layer.moves else frames
        changed, labels = layer.change(NUMPY, packed, labels, generator)
        frames = changed.view(frames.dtype) if layer.moves else changed
    return frames, labels


def _packed(frames):
    """Frames with the channels of a pixel as one number, which NumPy moves several times faster."""
    size = frames.shape[-1] * frames.itemsize
    return frames.view(f"u{size}") if size in (2, 4, 8) else frames


def _as_images(layer, frames, generator):
    """Frames changed by a layer for images, which takes their steps for channels."""
    batch, steps, height, width, channels = frames.shape
    images = np.moveaxis(frames, 1, 3).reshape(batch, height, width, steps * channels)
    images = keras.ops.convert_to_tensor(images, "float32")
    # The layer's own generator would be raced for by the threads that read batches.
    seed = keras.random.SeedGenerator(int(generator.integers(2**31)))
    drawn = layer.get_random_transformation(images, training=True, seed=seed)
    changed = keras.ops.convert_to_numpy(layer.transform_images(images, drawn, training=True))
    return np.moveaxis(changed.reshape(batch, height, width, steps, channels), 3, 1)
