"""The fast form of the neurons, where a training can have it."""

import logging

from keras_staa._keras import all_layers
from keras_staa.layers.compilation import jit_compile
from keras_staa.layers.neuron import Neuron
from keras_staa.layers.staa import STAA

_LOG = logging.getLogger("keras_staa.training")


def compile_neurons(network):
    """Compile the neurons and aggregators of a network, or log why they stay as they are.

    Args:
        network: a `keras.Model`. One without neurons stays as it is.
    """
    if not any(isinstance(layer, Neuron | STAA) for layer in all_layers(network)):
        return
    try:
        jit_compile(network)
    except RuntimeError as error:
        _LOG.warning("Neurons are not compiled, and training takes longer: %s", error)
