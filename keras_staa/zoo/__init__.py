"""Trained networks by name."""

from keras_staa.zoo.load import describe, list_models, load
from keras_staa.zoo.save import save

__all__ = ["describe", "list_models", "load", "save"]
