"""The mathematics of the neuron and of the aggregator, as functions on tensors."""

from keras_staa.ops.gradient import with_backward
from keras_staa.ops.lif import lif, neuron
from keras_staa.ops.sizes import with_sizes
from keras_staa.ops.staa import axial_encoding, modulate, scale_of, summaries

__all__ = [
    "axial_encoding",
    "lif",
    "modulate",
    "neuron",
    "scale_of",
    "summaries",
    "with_backward",
    "with_sizes",
]
