"""Compile the neurons and aggregators of a network by themselves."""

import keras

from keras_staa import _keras, checks
from keras_staa.layers.neuron import Neuron
from keras_staa.layers.staa import STAA
from keras_staa.ops import inductor


def jit_compile(model, enabled=True):
    """Compile the neurons and aggregators of a network, whatever the rest of it does.

    For PyTorch, where Keras compiles nothing of its own accord, and for TensorFlow without
    `jit_compile=True`, where the gradients are compiled anyway and this adds the forward pass. The
    first step takes some seconds longer for each shape that occurs. On JAX, which compiles the
    whole step, it changes nothing. On GPUs of NVIDIA, PyTorch runs kernels of this library. On a
    CPU it needs a C++ compiler. There, neurons of more than 16 time steps run in blocks of at most
    16, each by the same program, and keep one potential for each block. Neurons without a hand-
    written gradient always stay as they are.

    The setting belongs to the object: it is not stored with the model and not in its
    configuration. Set it before the model is first called. `keras_staa.export` leaves it out, and
    `model.export` does not: do not set it for a model that Keras is to export.

    Args:
        model: a `keras.Model` or a layer; neurons inside of layers, of your own too, are found.
        enabled: whether to compile.

    Returns:
        The same object.

    Raises:
        ValueError: if there is no neuron or aggregator of this library in it.
        RuntimeError: on PyTorch without a GPU, if there is no C++ compiler; with a GPU, if
            TensorFlow was imported and does not let Triton be imported any more.

    Example:

    >>> import keras_staa
    >>> model = keras_staa.STAAVGG(width=8)
    >>> jit_compile(model, enabled=False) is model
    True
    """
    enabled = checks.boolean("enabled", enabled)
    # Every layer that Keras keeps track of, attributes of other layers included.
    layers = _keras.all_layers(model) if isinstance(model, keras.layers.Layer) else []
    found = [layer for layer in layers if isinstance(layer, Neuron | STAA)]
    if not found:
        raise ValueError(f"`model` must have a neuron or a STAA layer. Received: model={model!r}")
    if enabled and keras.backend.backend() == "torch":
        inductor.require_compiler()
    for layer in found:
        layer.jit(enabled)
    return model
