"""A graph of NIR as a Keras model."""

import keras
import numpy as np

from keras_staa import checks, layers
from keras_staa.exchange.nir_writing import TIME_STEP


def from_nir(graph, steps, frames=False, mean=True, time_step=TIME_STEP):
    """Return the Keras model that does what a graph of NIR does in each of some time steps.

    Args:
        graph: a `nir.NIRGraph` without cycles, with one input (C, H, W) or (C,) and one output, or
            the path of a `.nir` file. It may have the nodes `Affine`, `Linear`, `Scale`, `Conv2d`,
            `AvgPool2d`, `SumPool2d`, `Flatten`, `IF` and `LIF`.
        steps: positive integer, the number of time steps T.
        frames: whether the model takes an input for each step, (B, T, H, W, C) or (B, T, C). By
            default it takes one, (B, H, W, C) or (B, C), and shows it at every step.
        mean: whether the output is the mean over the steps, (B, ...), and not (B, T, ...).
        time_step: positive float, in seconds.

    Returns:
        A `keras.Model`. Its neurons fire above the threshold, as those of NIR. They are layers
        `LIF`, and all of the model can be trained.

    Raises:
        ValueError: for a graph with other nodes, with cycles, or with neurons of which those of one
            channel differ.
        ImportError: if the package `nir` is not installed.

    Example:

    ```python
    model = keras_staa.exchange.from_nir("vgg.nir", steps=4)
    ```

    Source: Pedersen et al., Nature Communications 2024, https://arxiv.org/abs/2311.14641
    """
    import nir

    steps = checks.positive_int("steps", steps)
    time_step = checks.positive("time_step", time_step)
    graph = graph if isinstance(graph, nir.NIRGraph) else nir.read(str(graph))
    ends = [_only(graph, kind) for kind in (nir.Input, nir.Output)]
    shape = tuple(int(n) for n in graph.nodes[ends[0]].input_type["input"])
    last = shape if len(shape) == 1 else (*shape[1:], shape[0])
    inputs = keras.Input((steps, *last) if frames else last, name="input")
    x = inputs if frames else layers.RepeatSteps(steps, name="repeat_steps")(inputs)
    made = {ends[0]: x}
    for name in _in_order(graph):
        node = graph.nodes[name]
        if name not in made:
            sources = [made[a] for a, b in graph.edges if b == name]
            x = sources[0] if len(sources) == 1 else keras.layers.Add(name=f"{name}_sum")(sources)
            made[name] = _converter(name, node)(name, node, x, time_step)
    outputs = made[ends[1]]
    if mean:
        outputs = layers.MeanOverSteps(name="mean_over_steps")(outputs)
    return keras.Model(inputs, outputs)


def _only(graph, kind):
    found = [name for name, node in graph.nodes.items() if isinstance(node, kind)]
    if len(found) != 1:
        raise ValueError(f"`graph` must have one {kind.__name__}. Received: {found}")
    return found[0]


def _in_order(graph):
    """Names of nodes, each behind those that it reads."""
    before = {name: {a for a, b in graph.edges if b == name} for name in graph.nodes}
    ordered = []
    while before:
        ready = [name for name, sources in before.items() if sources <= set(ordered)]
        if not ready:
            raise ValueError(f"`graph` must have no cycle. Received: one in {sorted(before)}")
        ordered += ready
        before = {name: sources for name, sources in before.items() if name not in ready}
    return ordered


def _converter(name, node):
    kind = type(node).__name__
    if kind not in _CONVERTERS:
        raise ValueError(
            f"`graph` may have the nodes {', '.join(sorted(_CONVERTERS))}. Received: node "
            f"{name!r}, of the kind {kind}"
        )
    return _CONVERTERS[kind]


def _per_step(layer, x):
    return layers.PerStep(layer, name=layer.name)(x)


def _with_weights(layer, x, *values):
    """Apply a layer to each step and give it its weights."""
    x = _per_step(layer, x)
    layer.set_weights([np.asarray(value, "float32") for value in values if value is not None])
    return x


def _output(name, node, x, time_step):
    return x


def _affine(name, node, x, time_step):
    bias = getattr(node, "bias", None)
    layer = keras.layers.Dense(len(node.weight), use_bias=bias is not None, name=name)
    return _with_weights(layer, x, node.weight.T, bias)


def _scale(name, node, x, time_step):
    channels = x.shape[-1]
    if len(x.shape) == 3:
        layer = keras.layers.Dense(channels, use_bias=False, name=name)
        return _with_weights(layer, x, np.diag(np.broadcast_to(node.scale, (channels,))))
    scale = _of_channels(name, "scale", np.broadcast_to(node.scale, _channels_first(x)))
    layer = layers.Conv2D(channels, 1, use_bias=False, data_format="channels_last", name=name)
    return _with_weights(layer, x, np.diag(scale)[None, None])


def _convolution(name, node, x, time_step):
    padding = node.padding
    if not isinstance(padding, str):
        pads = tuple(int(n) for n in np.broadcast_to(padding, 2))
        if any(pads):
            pad = keras.layers.ZeroPadding2D(pads, data_format="channels_last", name=f"{name}_pad")
            x = _per_step(pad, x)
        padding = "valid"
    layer = layers.Conv2D(
        len(node.weight),
        node.weight.shape[2:],
        strides=_pair(node.stride),
        padding=padding,
        dilation_rate=_pair(node.dilation),
        groups=int(node.groups),
        data_format="channels_last",
        name=name,
    )
    return _with_weights(layer, x, node.weight.transpose(2, 3, 1, 0), node.bias)


def _pool(name, node, x, time_step):
    if np.any(node.padding):
        raise ValueError(f"Node {name!r} must have no padding. Received: {node.padding}")
    size, strides = _pair(node.kernel_size), _pair(node.stride)
    layer = keras.layers.AveragePooling2D(size, strides, data_format="channels_last", name=name)
    x = _per_step(layer, x)
    if type(node).__name__ == "SumPool2d":
        scaling = keras.layers.Rescaling(float(np.prod(size)), name=f"{name}_sum")
        x = _per_step(scaling, x)
    return x


def _flatten(name, node, x, time_step):
    rank = len(x.shape) - 2
    if rank == 1:
        return x
    first, last = (n % rank for n in (node.start_dim, node.end_dim))
    # Writers that have an axis for the batch count it.
    if first > 1 or last != rank - 1:
        raise ValueError(f"Node {name!r} must flatten all axes. Received: {first} to {last}")
    # NIR's order is channels, rows, columns.
    x = _per_step(keras.layers.Permute((3, 1, 2), name=f"{name}_order"), x)
    return _per_step(keras.layers.Reshape((-1,), name=name), x)


def _neuron(name, node, x, time_step):
    leaks = type(node).__name__ == "LIF"
    same = {"v_reset": getattr(node, "v_reset", 0.0)}
    if leaks:
        same["v_leak"] = node.v_leak
    for key, values in same.items():
        if values is not None and np.any(values):
            raise ValueError(f"`{key}` of node {name!r} must be 0. Received: {values}")
    shape = _channels_first(x)

    def of_channels(key):
        values = np.broadcast_to(np.asarray(getattr(node, key), "float64"), shape)
        return _of_channels(name, key, values)

    rate = time_step / of_channels("tau") if leaks else np.zeros(shape[0])
    # A tau of float32 may be a little less than the time step that it was meant to be.
    rate = np.where(np.abs(rate - 1.0) < 1e-6, 1.0, rate)
    decay = 1.0 - rate
    gain = of_channels("r") * (rate if leaks else 1.0)
    if np.any(decay < 0):
        raise ValueError(
            f"`tau` of node {name!r} must be at least `time_step`, {time_step}. Received: "
            f"{np.min(node.tau)}"
        )
    thresholds = of_channels("v_threshold")
    # The next float32 above: NIR's neurons fire above the threshold, and ours at it.
    above = np.nextafter(thresholds.astype("float32"), np.float32(np.inf)).astype("float64")
    threshold = above[0]
    if np.any(above != threshold):
        gain, threshold = gain / above, 1.0
    plain = {"threshold": float(threshold), "name": name}
    if all(np.all(values == values[0]) for values in (decay, gain)):
        return layers.LIF(float(decay[0]), float(gain[0]), **plain)(x)
    layer = layers.LIF(learn=True, **plain)
    y = layer(x)
    layer.decay_weight.assign(decay.astype("float32"))
    layer.gain_weight.assign(gain.astype("float32"))
    return y


def _pair(value):
    return tuple(int(n) for n in np.broadcast_to(value, 2))


def _channels_first(x):
    """Return (C, H, W) or (C,) of a tensor (B, T, H, W, C) or (B, T, C)."""
    return (x.shape[-1], *x.shape[2:-1])


def _of_channels(name, key, values):
    """Return the values (C,) of an array (C, H, W) or (C,) that is the same in all places."""
    rows = values.reshape(len(values), -1)
    if np.any(rows != rows[:, :1]):
        raise ValueError(f"`{key}` of node {name!r} must be the same for all places of a channel.")
    return rows[:, 0]


_CONVERTERS = {
    "Output": _output,
    "Identity": _output,
    "Affine": _affine,
    "Linear": _affine,
    "Scale": _scale,
    "Conv2d": _convolution,
    "AvgPool2d": _pool,
    "SumPool2d": _pool,
    "Flatten": _flatten,
    "LIF": _neuron,
    "IF": _neuron,
}
