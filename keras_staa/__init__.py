"""Spiking neural networks with spatial-temporal attention for Keras 3."""

from keras_staa import callbacks, data, layers, losses, metrics, models, surrogates, zoo
from keras_staa.layers.compilation import jit_compile
from keras_staa.models import (
    STAAVGG,
    STAACompact,
    STAAResNet18,
    STAAResNet19,
    STAAResNet20,
    STAAResNet34,
)

__version__ = "0.1.0"

__all__ = [
    "STAAVGG",
    "STAACompact",
    "STAAResNet18",
    "STAAResNet19",
    "STAAResNet20",
    "STAAResNet34",
    "callbacks",
    "data",
    "jit_compile",
    "layers",
    "losses",
    "metrics",
    "models",
    "surrogates",
    "zoo",
]
