"""Data sets for all backends, and augmentation as Keras layers."""

from keras_staa.data.arrays import arrays
from keras_staa.data.augment import Cutout, RandomChoice, random_crop
from keras_staa.data.events import events
from keras_staa.data.frame_layers import (
    FrameCutout,
    FrameFlip,
    FrameMixUp,
    FrameRoll,
    FrameRotation,
    TimeShift,
)
from keras_staa.data.images import class_names, images

__all__ = [
    "Cutout",
    "FrameCutout",
    "FrameFlip",
    "FrameMixUp",
    "FrameRoll",
    "FrameRotation",
    "RandomChoice",
    "TimeShift",
    "arrays",
    "class_names",
    "events",
    "images",
    "random_crop",
]
