"""The mathematics of the neuron and of the aggregator, as functions on tensors."""

from keras_staa.ops.gradient import with_backward
from keras_staa.ops.leaky import Leaky, lif
from keras_staa.ops.loop import over_steps
from keras_staa.ops.modulation import enriched, modulate, scale_of
from keras_staa.ops.neuron import Dynamics, spiking
from keras_staa.ops.saturation import saturated
from keras_staa.ops.sizes import with_sizes
from keras_staa.ops.staa import axial_encoding, summaries
from keras_staa.ops.threshold import spike

__all__ = [
    "Dynamics",
    "Leaky",
    "axial_encoding",
    "enriched",
    "lif",
    "modulate",
    "over_steps",
    "saturated",
    "scale_of",
    "spike",
    "spiking",
    "summaries",
    "with_backward",
    "with_sizes",
]
