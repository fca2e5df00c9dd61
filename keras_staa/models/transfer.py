"""Weights from one network to another of the same layers: other T, size, classes or head."""

import types

import keras

from keras_staa import _keras
from keras_staa.layers import STAALIF, flatten_layers
from keras_staa.presets import weight_files

READ_OUT = "predictions"
# How the names of these layers end.
AGGREGATOR, NEURON = "staa", "neuron"


def transfer(source, target, skip=(), swapped=False):
    """Give a network the weights of another, layer by layer, matched by name.

    Layers whose weights depend on the number of steps or on the size (those with a method
    `transfer_from`) interpolate. The read-out keeps its own start values where the classes differ.

    Args:
        source: a `keras.Model` with the weights.
        target: a `keras.Model` of the same factory and width.
        skip: names of layers of the target that are not the factory's.
        swapped: whether the target has other neurons: those of another class or with other
            weights keep their start values, and aggregators take those of their place.

    Raises:
        ValueError: if a layer has no counterpart, or one of another shape.
    """
    sources = {layer.name: layer for layer in source.layers}
    done = _swap(source, target) if swapped else set()
    for layer in target.layers:
        if not layer.weights or layer.name in skip or layer.name in done:
            continue
        if layer.name not in sources:
            if layer.name == READ_OUT:
                continue
            raise ValueError(f"The source has no layer {layer.name!r} to take weights from.")
        source_layer = sources[layer.name]
        if _alike(layer, source_layer):
            layer.set_weights(source_layer.get_weights())
            continue
        _copy_parts(layer, source_layer)


def _copy_parts(layer, source_layer):
    parts, others = _with_weights(layer), _with_weights(source_layer)
    if len(parts) != len(others):
        raise ValueError(
            f"Layer {layer.name!r} holds {len(parts)} layers with weights, its source "
            f"{len(others)}."
        )
    for part, other in zip(parts, others, strict=True):
        _copy(layer.name, part, other)


def _swap(source, target):
    """Give aggregators and neurons the weights of those in their places, where these fit.

    Returns:
        The names of the target's layers that are dealt with.
    """
    sources, done = _places(source), set()
    for place, (name, layer) in _places(target).items():
        _, other = sources.get(place, (None, None))
        done.add(name)
        if place[1] == AGGREGATOR and other is not None:
            _copy_parts(layer, other)
        elif type(layer) is type(other) and _shapes(layer) == _shapes(other):
            layer.set_weights(other.get_weights())
    return done


def _places(model):
    """Name of the outermost layer, and aggregator or neuron, by place and which of the two it is.

    `STAALIF` is both, and other neurons stand behind an aggregator of their own.
    """
    found = {}
    for layer in model.layers:
        place, _, kind = layer.name.rpartition("_")
        if isinstance(layer, STAALIF):
            found[place, AGGREGATOR] = layer.name, layer.staa
            found[place, NEURON] = layer.name, layer.lif
        elif kind in (AGGREGATOR, NEURON):
            found[place, kind] = layer.name, layer
    return found


def transfer_from_file(held, names, target):
    """Give a network the weights of a file of the same layers, as `transfer` does.

    Args:
        held: what `keras_staa.presets.weight_files.opened` gave.
        names: the target's weights by their names in a file.
        target: a `keras.Model`.

    Raises:
        ValueError: if a weight has another shape and cannot be transferred, or is damaged.
    """
    by_weight = {id(v): name for name, v in names.items()}
    for layer in target.layers:
        sets = [held.get(by_weight[id(w)]) for w in layer.weights]
        shapes = [None if found is None else tuple(found.shape) for found in sets]
        if layer.name == READ_OUT and shapes != _shapes(layer):
            continue
        parts = [layer] if shapes == _shapes(layer) else _with_weights(layer)
        for part in parts:
            arrays = [weight_files.read(held[by_weight[id(w)]]) for w in part.weights]
            _copy(layer.name, part, types.SimpleNamespace(weights=arrays))


def transferable(target, names):
    """Return the names of the weights that `transfer_from_file` takes from weights of other shapes.

    Args:
        target: a `keras.Model`.
        names: its weights by their names in a file.

    Returns:
        A set of strings.
    """
    able = [x for x in flatten_layers(target) if hasattr(x, "transfer_from") or x.name == READ_OUT]
    weights = {id(w) for layer in able for w in layer.weights}
    return {name for name, v in names.items() if id(v) in weights}


def _copy(name, part, other):
    shapes = [_shapes(layer) for layer in (part, other)]
    if _alike(part, other):
        part.set_weights([keras.ops.convert_to_numpy(w) for w in other.weights])
    elif hasattr(part, "transfer_from"):
        part.transfer_from(other)
    elif name != READ_OUT:
        raise ValueError(
            f"Layer {name!r} has weights of shapes {shapes[0]}, its source {shapes[1]}. Number of "
            "steps, height, width and classes may differ, channels may not."
        )


def _alike(layer, other):
    """Whether weights of one mean the same in the other."""
    if _shapes(layer) != _shapes(other):
        return False
    # Of weights from a file it is not known whether they look ahead.
    return not isinstance(other, keras.Layer) or _causal(layer) == _causal(other)


def _causal(layer):
    return [x.causal for x in _keras.all_layers(layer) if hasattr(x, "causal")]


def _shapes(layer):
    return [tuple(w.shape) for w in layer.weights]


def _with_weights(layer):
    """Return the layer itself or the innermost ones inside it, as far as they have weights."""
    flat = _keras.all_layers(layer)
    parts = [inner for inner in flat if inner.weights and not _inner(inner)]
    if sum(len(part.weights) for part in parts) != len(layer.weights):
        raise ValueError(
            f"Layer {layer.name!r} has weights in addition to those of its inner layers, and "
            "shapes that differ from its source's. Such weights cannot be matched."
        )
    return parts


def _inner(layer):
    return flatten_layers(layer)
