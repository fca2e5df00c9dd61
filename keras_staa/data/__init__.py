"""Data sets as `tf.data` pipelines, for all backends, and augmentation as Keras layers."""

from keras_staa.data.augment import Cutout, RandomChoice, random_crop
from keras_staa.data.events import events
from keras_staa.data.images import class_names, images

__all__ = ["Cutout", "RandomChoice", "class_names", "events", "images", "random_crop"]
