"""Which factory and arguments make a functional model that does not say so itself.

The part below a head has the layers of a `Network` and no note of it, where the model was made of
Keras tensors of the network. What the layers say gives the arguments; whether they are right is
decided by building that network, without its weights, and comparing all of it.
"""

import keras

from keras_staa import serialized
from keras_staa.layers import LIF, STAA, STAALIF
from keras_staa.models.compact import WHITENING
from keras_staa.models.deferred import deferred
from keras_staa.models.network import Network

# Entries of configurations that do not tell networks apart: they concern training alone, or how
# numbers are stored.
TRAINING = ("trainable", "dtype", "seed", "build_config")
# What makes up a functional model.
GRAPH = ("name", "layers", "input_layers", "output_layers")


def recognize(model, factories):
    """Return the factory's name and the arguments that made a network.

    Args:
        model: a `keras.Model`.
        factories: functions.

    Returns:
        A pair of a string and a dictionary, or None if no factory makes such a network.
    """
    if isinstance(model, Network) and model.factory is not None:
        return model.factory, dict(model.arguments)
    if not isinstance(model, keras.Model) or not hasattr(model, "_operations"):
        return None
    try:
        arguments = _arguments(model)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return None
    for create in factories:
        try:
            with deferred(keep=False):
                own = create(**arguments, name=model.name)
                if _comparable(own) == _comparable(model):
                    return own.factory, dict(own.arguments)
        except ValueError:
            continue
    return None


def _arguments(model):
    layers = {layer.name: layer for layer in model.layers}
    flat = [getattr(layer, "layer", layer) for layer in model.layers]
    shape = tuple(model.inputs[0].shape[1:])
    top = layers.get("predictions")
    found = {
        "include_top": top is not None,
        "input_shape": shape,
        "steps": shape[0] if len(shape) == 4 else layers["repeat_steps"].steps,
        "width": _width(flat),
        "attention": _attention(flat),
        "neuron": _neuron(layers),
        "normalization": None,
        "pooling": None,
        "step_logits": False,
    }
    if "normalization" in layers:
        config = layers["normalization"].get_config()
        pairs = zip(config["mean"], config["variance"], strict=True)
        found["normalization"] = tuple((mean, variance**0.5) for mean, variance in pairs)
    mean = "mean_over_steps" in layers
    if top is None:
        spaces = {"average_pool": "avg", "max_pool": "max"}
        pool = next((spaces[name] for name in spaces if name in layers), "steps")
        return {**found, "pooling": pool if mean else None, "classes": 10}
    activation = None
    if "probabilities" in layers:
        activation = layers["probabilities"].activation
    found |= {"classes": top.units, "step_logits": not mean}
    return {**found, "classifier_activation": activation}


def _width(layers):
    convolutions = [layer for layer in layers if isinstance(layer, keras.layers.Conv2D)]
    # A fixed transform of the pixels has as many channels as the pixels ask for.
    return next(layer.filters for layer in convolutions if layer.name != WHITENING)


def _attention(layers):
    for layer in layers:
        if isinstance(layer, STAA | STAALIF):
            return _of(STAA(), layer, {"seed": None})
    return False


def _neuron(layers):
    first = next(layer for name, layer in layers.items() if name.endswith("_neuron"))
    if type(first) is not LIF or any(name.endswith("_staa") for name in layers):
        return first
    return _of(LIF(), first, {})


def _of(kind, layer, other):
    """Return what the configuration of a layer says of the arguments of another kind of layer."""
    known = set(kind.get_config()) - {"name", "trainable", "dtype"}
    return {key: value for key, value in layer.get_config().items() if key in known} | other


def _comparable(model):
    config = serialized.plain({key: model.get_config()[key] for key in GRAPH})
    for end in ("input_layers", "output_layers"):
        # One input may stand in a list or alone.
        while len(config[end]) == 1:
            (config[end],) = config[end]
    return _without(config, TRAINING)


def _without(value, names):
    if isinstance(value, list):
        return [_without(item, names) for item in value]
    if isinstance(value, dict):
        return {key: _without(item, names) for key, item in value.items() if key not in names}
    return value
