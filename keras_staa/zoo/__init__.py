"""Trained networks by name."""

from keras_staa.zoo.loading import describe, list_models, load
from keras_staa.zoo.measuring import evaluate, verify
from keras_staa.zoo.pushing import push
from keras_staa.zoo.saving import save

__all__ = ["describe", "evaluate", "list_models", "load", "push", "save", "verify"]
