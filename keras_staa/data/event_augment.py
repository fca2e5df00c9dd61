"""Augmentation of frames of events: policies, and their use without a backend."""

import keras
import numpy as np

from keras_staa import checks
from keras_staa.data.augment import seeds_from
from keras_staa.data.frame_layer import NUMPY, FrameLayer
from keras_staa.data.frame_layers import (
    FrameCutout,
    FrameFlip,
    FrameMixUp,
    FrameRoll,
    FrameRotation,
    TimeShift,
)


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
    """The layers of a named augmentation policy.

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
    return keras.layers.Pipeline([make(frame_shape, next(seeds)) for make in POLICIES[name]])


def standardize(augment, frame_shape, one_hot):
    """The argument `augment` of `events` as a list of layers."""
    if augment is None:
        return []
    if isinstance(augment, str):
        checks.choice("augment", augment, list(POLICIES))
        return pipeline(augment, frame_shape).layers
    layers = list(augment) if isinstance(augment, (tuple, list)) else [augment]
    if not all(isinstance(layer, FrameLayer) for layer in layers):
        raise ValueError(
            f"`augment` must be None, one of {list(POLICIES)}, a layer for "
            f"frames of keras_staa.data or a list of them. Received: augment={augment!r}"
        )
    if not one_hot and any(isinstance(layer, FrameMixUp) for layer in layers):
        raise ValueError("`one_hot` must be True for FrameMixUp to mix labels. Received: False")
    return layers


def augmented(layers, frames, labels, seed):
    """NumPy frames and labels changed by layers, with draws that follow from `seed` alone."""
    generator = np.random.default_rng(seed)
    for layer in layers:
        frames, labels = layer.change(NUMPY, frames, labels, generator)
    return frames, labels
