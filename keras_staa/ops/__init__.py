"""The mathematics of the neuron and of the aggregator, as functions on tensors."""

from keras_staa.ops.gradient import with_backward
from keras_staa.ops.lif import lif, neuron
from keras_staa.ops.staa import attended_mean, axial_encoding, modulate, step_mean

__all__ = [
    "attended_mean",
    "axial_encoding",
    "lif",
    "modulate",
    "neuron",
    "step_mean",
    "with_backward",
]
