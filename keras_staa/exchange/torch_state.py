"""Weights of networks written in PyTorch: SpikingJelly, snnTorch, torchvision."""

import re

import keras
import numpy as np

from keras_staa.layers import PerStep

PART = re.compile(r"(.*)_(1|2|shortcut)_(?:conv|bn)")
PARTS = ("1", "2", "shortcut")
KINDS = {"convolution": 4, "Dense layer": 2, "batch normalization": 1}
# Where the axes of a kernel come from in PyTorch's order.
AXES = {keras.layers.Conv2D: (3, 2, 0, 1), keras.layers.Dense: (1, 0)}


def load_torch_weights(model, state_dict):
    """Give a network the weights of a PyTorch network of the same layers.

    Layers are matched by their order: convolutions, batch normalizations and Dense layers each by
    themselves, and in a residual block the two convolutions before the shortcut, as in torchvision
    and SpikingJelly. A bias of a convolution goes into the batch normalization behind it.

    For equal outputs the network must be the same in all else. `padding="symmetric"` of the
    residual networks pads as PyTorch does. `LIFNode(tau)` of SpikingJelly is
    `LIF(decay=1 - 1 / tau, gain=1 / tau)`, `Leaky(beta, threshold, reset_mechanism="zero",
    reset_delay=False)` of snnTorch is `LIF(decay=beta, threshold=threshold)`.

    Args:
        model: a network of this library without the aggregator, such as
            `keras_staa.STAAResNet34(attention=False, padding="symmetric")`.
        state_dict: what `state_dict()` of the PyTorch network gives: tensors or arrays by name.

    Returns:
        The same network.

    Raises:
        ValueError: if layers of a kind differ in number or shape. Nothing is changed then.

    Example:

    ```python
    model = keras_staa.STAAResNet34(
        attention=False, padding="symmetric", neuron={"decay": 0.5, "gain": 0.5}, classes=1000
    )
    keras_staa.exchange.load_torch_weights(model, torch.load("spiking_resnet34.pt"))
    ```
    """
    values = {}
    for layer, names in _pairs(model, state_dict):
        arrays = [_array(state_dict[name]) for name in names]
        values[id(layer)] = layer, _to_keras(layer, arrays)
    _fold_biases(model, state_dict, values)
    for layer, arrays in values.values():
        layer.set_weights(arrays)
    return model


def torch_weights(model, like):
    """Return the weights of a network for a PyTorch network of the same layers.

    Args:
        model: a network of this library without the aggregator.
        like: `state_dict()` of the PyTorch network, for the names and shapes.

    Returns:
        A dictionary of float32 NumPy arrays by the names of `like`, without what is no weight of a
        layer, such as `num_batches_tracked`. In PyTorch:
        `load_state_dict({k: torch.tensor(v) for k, v in found.items()}, strict=False)`.

    Raises:
        ValueError: if layers of a kind differ in number or shape.

    Example:

    ```python
    found = keras_staa.exchange.torch_weights(model, network.state_dict())
    ```
    """
    found = {}
    for layer, names in _pairs(model, like):
        kernel, *rest = (keras.ops.convert_to_numpy(w) for w in layer.weights)
        found |= dict(zip(names, [kernel.transpose(_axes(layer)), *rest], strict=True))
    # The batch normalization behind has what such a bias would do.
    biases = {name: len(_array(value)) for name, value in _biases(like)}
    return {**found, **{name: np.zeros(n, "float32") for name, n in biases.items()}}


def _pairs(model, state_dict):
    """Return each layer with weights, and the names of its weights in PyTorch, in Keras's order."""
    ours, theirs = _layers(model), _modules(state_dict)
    pairs = []
    for kind in KINDS:
        if len(ours[kind]) != len(theirs[kind]):
            raise ValueError(
                f"`state_dict` must have {len(ours[kind])} of the kind {kind}, as the network has. "
                f"Received: {len(theirs[kind])}: {', '.join(theirs[kind])}"
            )
        for layer, (prefix, names) in zip(ours[kind], theirs[kind].items(), strict=True):
            # A convolution here has no bias.
            names = names[: len(layer.weights)]
            shapes = [_array(state_dict[name]).shape for name in names]
            if _shapes(layer) != shapes:
                raise ValueError(
                    f"`state_dict` must fit the network. Received: {prefix!r} with the shapes "
                    f"{shapes}, but layer {layer.name!r} has {_shapes(layer)} in PyTorch's order"
                )
            pairs.append((layer, names))
    return pairs


def _layers(model):
    """Return the layers with weights by their kind, in the order of PyTorch's blocks."""
    found = {kind: [] for kind in KINDS}
    blocks = {}
    for layer in model.layers:
        inner = layer.layer if isinstance(layer, PerStep) else layer
        if not inner.weights:
            continue
        match = PART.fullmatch(inner.name)
        block = match[1] if match else inner.name
        part = PARTS.index(match[2]) if match else 0
        place = blocks.setdefault(block, len(blocks))
        found[_kind(inner)].append(((place, part), inner))
    return {
        kind: [x for _, x in sorted(rows, key=lambda row: row[0])] for kind, rows in found.items()
    }


def _kind(layer):
    kinds = zip(
        KINDS,
        (keras.layers.Conv2D, keras.layers.Dense, keras.layers.BatchNormalization),
        strict=True,
    )
    for kind, layer_class in kinds:
        if isinstance(layer, layer_class):
            return kind
    raise ValueError(
        "`model` must have weights in convolutions, batch normalization and Dense layers alone, as "
        f"with `attention=False`. Received: layer {layer.name!r}, of the class "
        f"{type(layer).__name__}"
    )


def _modules(state_dict):
    """Return the names of the weights of each module, by its kind and its name."""
    found = {kind: {} for kind in KINDS}
    for name, value in state_dict.items():
        prefix, _, last = name.rpartition(".")
        if last != "weight":
            continue
        rank = len(_array(value).shape)
        names = [f"{prefix}.{part}" for part in ("weight", "bias")]
        if rank == 1 and f"{prefix}.running_mean" in state_dict:
            names += [f"{prefix}.running_mean", f"{prefix}.running_var"]
        kind = next((kind for kind, n in KINDS.items() if n == rank), None)
        if kind is not None:
            found[kind][prefix] = [n for n in names if n in state_dict]
    return found


def _biases(state_dict):
    """Return names and values of the biases of convolutions."""
    for prefix, names in _modules(state_dict)["convolution"].items():
        if len(names) == 2:
            yield f"{prefix}.bias", state_dict[f"{prefix}.bias"]


def _fold_biases(model, state_dict, values):
    ours, biases = _layers(model), dict(_biases(state_dict))
    prefixes = list(_modules(state_dict)["convolution"])
    norms = ours["batch normalization"]
    if biases and len(norms) != len(prefixes):
        raise ValueError(
            "`state_dict` may have biases of convolutions only where each has a batch "
            f"normalization behind it. Received: {', '.join(biases)}"
        )
    for prefix, norm in zip(prefixes, norms, strict=False):
        bias = biases.get(f"{prefix}.bias")
        if bias is not None:
            scale, offset, mean, variance = values[id(norm)][1]
            values[id(norm)] = norm, [scale, offset, mean - _array(bias), variance]


def _axes(layer):
    """Return where the axes of the first weight come from in PyTorch's order."""
    return next((axes for kind, axes in AXES.items() if isinstance(layer, kind)), (0,))


def _to_keras(layer, arrays):
    return [arrays[0].transpose(np.argsort(_axes(layer))), *arrays[1:]]


def _shapes(layer):
    first, *rest = (tuple(w.shape) for w in layer.weights)
    return [tuple(first[axis] for axis in _axes(layer)), *rest]


def _array(value):
    value = value.detach().cpu().numpy() if hasattr(value, "detach") else value
    return np.asarray(value)
