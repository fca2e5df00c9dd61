"""The layers of a spiking network."""

from keras_staa.layers.alif import ALIF
from keras_staa.layers.decay import undecayed_weights
from keras_staa.layers.global_context import GlobalContext
from keras_staa.layers.integrate_fire import IF
from keras_staa.layers.lif import LIF
from keras_staa.layers.linear_neuron import LinearNeuron
from keras_staa.layers.mean_step_attention import MeanStepAttention
from keras_staa.layers.native import BatchNormalization, Conv2D
from keras_staa.layers.neuron import Neuron
from keras_staa.layers.plif import PLIF
from keras_staa.layers.position_encoding import PositionEncoding
from keras_staa.layers.staa import STAA
from keras_staa.layers.staa_neurons import STAALIF, STAANeuron
from keras_staa.layers.step_attention import StepAttention
from keras_staa.layers.steps import MeanOverSteps, PerStep, RepeatSteps, flatten_layers

__all__ = [
    "ALIF",
    "IF",
    "LIF",
    "PLIF",
    "STAA",
    "STAALIF",
    "BatchNormalization",
    "Conv2D",
    "GlobalContext",
    "LinearNeuron",
    "MeanStepAttention",
    "MeanOverSteps",
    "Neuron",
    "PerStep",
    "PositionEncoding",
    "RepeatSteps",
    "STAANeuron",
    "StepAttention",
    "flatten_layers",
    "undecayed_weights",
]
