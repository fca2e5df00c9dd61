"""Data sets for all backends, and augmentation as Keras layers.

Event recordings pass through four rooms, in one direction: `formats` reads files, `event` finds
recordings and makes frames of their events, `cache` keeps frames on disk, and `frame` gives them as
batches. `image` reads images. A name of a room is singular where a function has the plural.
"""

from keras_staa.data.array_batches import arrays
from keras_staa.data.frame.layers import (
    FrameCutout,
    FrameFlip,
    FrameMixUp,
    FrameRoll,
    FrameRotation,
    TimeShift,
)
from keras_staa.data.frame.rates import FrameDrop, FrameScale
from keras_staa.data.frame.reading import events
from keras_staa.data.image.augment import Cutout, RandomChoice, random_crop
from keras_staa.data.image.jpeg import RandomJPEG
from keras_staa.data.image.noise import RandomGaussianNoise
from keras_staa.data.image.reading import class_names, images
from keras_staa.data.image.resized_crop import RandomResizedCrop

__all__ = [
    "Cutout",
    "FrameCutout",
    "FrameDrop",
    "FrameFlip",
    "FrameMixUp",
    "FrameRoll",
    "FrameRotation",
    "FrameScale",
    "RandomChoice",
    "RandomGaussianNoise",
    "RandomJPEG",
    "RandomResizedCrop",
    "TimeShift",
    "arrays",
    "class_names",
    "events",
    "images",
    "random_crop",
]
