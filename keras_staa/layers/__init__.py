"""The layers of a spiking network."""

from keras_staa.layers.global_context import GlobalContext
from keras_staa.layers.lif import LIF
from keras_staa.layers.native import BatchNormalization, Conv2D
from keras_staa.layers.position_encoding import PositionEncoding
from keras_staa.layers.staa import STAA, STAALIF
from keras_staa.layers.step_attention import StepAttention
from keras_staa.layers.steps import MeanOverSteps, PerStep, RepeatSteps, flatten_layers

__all__ = [
    "LIF",
    "STAA",
    "STAALIF",
    "BatchNormalization",
    "Conv2D",
    "GlobalContext",
    "MeanOverSteps",
    "PerStep",
    "PositionEncoding",
    "RepeatSteps",
    "StepAttention",
    "flatten_layers",
]
