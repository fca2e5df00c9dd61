"""A network as a graph of NIR, the Neuromorphic Intermediate Representation."""

import io

import keras
import numpy as np

from keras_staa import _keras, checks, files, layers
from keras_staa.exchange.nir_graph import Graph
from keras_staa.exchange.padding import symmetric
from keras_staa.layers.linear_neuron import LinearNeuron
from keras_staa.layers.native import affine, numbers
from keras_staa.layers.steps import unwrapped

# The time step that NIR and most of its readers take, in seconds.
TIME_STEP = 1e-4
AVERAGES = ("AvgPool2d", "Conv2d")


def to_nir(model, path=None, time_step=TIME_STEP, average="AvgPool2d"):
    """Write a network without the aggregator as a graph of NIR.

    What a neuron does in a step, `V = M * H + N * I`, is the Euler step of NIR's neuron `LIF` with
    `tau = time_step / (1 - M)` and `R = N / (1 - M)`, and of its `IF` for M = 1. Batch
    normalization and R are folded into the convolutions, so that R is 1: some readers ignore it.
    An addition is two edges into one node. Images are (C, H, W), as NIR has them.

    The graph is what happens in one time step. Give it the same image at every step, or the frame
    of each step. The prediction is the mean over the steps of what it returns, and a softmax.

    Args:
        model: a built `keras.Model` with one input and one output, made of convolutions, batch
            normalization, averages over space, `IF`, `LIF`, `PLIF` with a hard reset, and a
            read-out by a Dense layer: `STAAVGG` and `STAAResNet` with `attention=False`.
        path: None, or where to write the graph, a file that ends in `.nir`.
        time_step: positive float, in seconds.
        average: what a mean over places becomes: `"AvgPool2d"`, or `"Conv2d"` for readers without
            it, such as Norse.

    Returns:
        A `nir.NIRGraph`.

    Raises:
        ValueError: for a layer that NIR has no node for, such as the aggregator, which is named.
        ImportError: if the package `nir` is not installed.

    Example:

    ```python
    model = keras_staa.STAAVGG(attention=False)
    graph = keras_staa.exchange.to_nir(model, "vgg.nir")
    ```

    Source: Pedersen et al., Nature Communications 2024, https://arxiv.org/abs/2311.14641
    """
    import nir

    checks.choice("average", average, AVERAGES)
    time_step = checks.positive("time_step", time_step)
    if not isinstance(model, keras.Model) or [len(t) for t in (model.inputs, model.outputs)] != [
        1,
        1,
    ]:
        raise ValueError(f"`model` must have one input and one output. Received: model={model!r}")
    graph = Graph(average)
    sources = _visit(graph, model.outputs[0], time_step, {})
    shape = graph.shape(sources)
    graph.add("output", nir.Output(np.array(shape)), sources, shape)
    found = graph.finish()
    if path is not None:
        buffer = io.BytesIO()
        nir.write(buffer, found)
        files.write(path, buffer.getbuffer())
    return found


def _visit(graph, tensor, time_step, visited):
    """Return what a Keras tensor comes from."""
    if id(tensor) not in visited:
        layer, inputs = _keras.made_by(tensor), _keras.inputs_of(tensor)
        sources = [_visit(graph, given, time_step, visited) for given in inputs]
        inner = unwrapped(layer)
        for given in inputs:
            before = unwrapped(_keras.made_by(given))
            pads = isinstance(before, keras.layers.ZeroPadding2D)
            if pads and not isinstance(inner, keras.layers.Conv2D):
                raise _refused(before)
        found = _converter(inner)(graph, inner, sources, tensor, time_step)
        # The tensor is kept, so that no other gets its identity.
        visited[id(tensor)] = found, tensor
    return visited[id(tensor)][0]


def _converter(layer):
    for kinds, function in _CONVERTERS.items():
        if isinstance(layer, kinds):
            return function
    raise _refused(layer)


def _refused(layer):
    return ValueError(
        f"NIR has no node for layer {layer.name!r}, of the class {type(layer).__name__}. `model` "
        "may have convolutions, batch normalization, means over places that do not overlap, "
        "neurons IF, LIF and PLIF, additions and Dense layers, as networks with attention=False."
    )


def _input(graph, layer, sources, tensor, time_step):
    import nir

    shape = _channels_first(tensor.shape)
    return graph.add("input", nir.Input(np.array(shape)), [], shape)


def _pass(graph, layer, sources, tensor, time_step):
    return sources[0]


def _activation(graph, layer, sources, tensor, time_step):
    # Probabilities at the end are for the reader to make.
    if layer.activation not in (keras.activations.linear, keras.activations.softmax):
        raise _refused(layer)
    return sources[0]


def _add(graph, layer, sources, tensor, time_step):
    found = [name for source in sources for name in source]
    if len(set(found)) != len(found):
        raise ValueError(f"NIR cannot add a node to itself, as layer {layer.name!r} does.")
    return found


def _normalization(graph, layer, sources, tensor, time_step):
    channels = graph.shape(sources[0])[0]
    mean, variance = (
        np.broadcast_to(keras.ops.convert_to_numpy(v).ravel(), (channels,)).astype("float64")
        for v in (layer.mean, layer.variance)
    )
    scale = 1 / np.maximum(np.sqrt(variance), keras.config.epsilon())
    return graph.scale(layer.name, scale, -mean * scale, sources[0])


def _batch_normalization(graph, layer, sources, tensor, time_step):
    return graph.scale(layer.name, *affine(layer), sources[0])


def _convolution(graph, layer, sources, tensor, time_step):
    plain = layer.groups == 1 and max(layer.dilation_rate) == 1
    linear = layer.activation is keras.activations.linear
    if not (plain and linear and layer.data_format == "channels_last"):
        raise ValueError(
            f"Layer {layer.name!r} must have one group, no dilation, no activation and its "
            "channels last."
        )
    weight, bias = _weights(layer, (3, 2, 0, 1))
    size = graph.shape(sources[0])[1:]
    weight, padding = symmetric(weight, size, layer.strides, layer.padding)
    before = unwrapped(_keras.made_by(_keras.inputs_of(tensor)[0]))
    if isinstance(before, keras.layers.ZeroPadding2D):
        (top, bottom), (left, right) = before.padding
        if (top, left) != (bottom, right) or layer.padding != "valid":
            raise _refused(before)
        padding = top, left
    after = _channels_first(tensor.shape)[1:]
    strides = tuple(layer.strides)
    return graph.convolution(layer.name, weight, bias, strides, padding, sources[0], after)


def _average_pool(graph, layer, sources, tensor, time_step):
    size = graph.shape(sources[0])[1:]
    if set(size) == {1} and layer.padding == "same":
        return sources[0]
    pool, strides = tuple(layer.pool_size), tuple(layer.strides)
    if pool != strides or any(n % k for n, k in zip(size, pool, strict=True)):
        raise ValueError(
            f"Layer {layer.name!r} must take means of places that do not overlap and cover all. "
            f"Received: pool_size={pool}, strides={strides}, the size {size}"
        )
    return graph.mean(layer.name, pool, sources[0])


def _global_average(graph, layer, sources, tensor, time_step):
    import nir

    pooled = graph.mean(layer.name, graph.shape(sources[0])[1:], sources[0])
    shape = graph.shape(pooled)
    # Counted from the end: some readers have an axis for the batch, and NIR has none.
    flatten = nir.Flatten(np.array(shape), -3, -1)
    return graph.add(f"{layer.name}_flatten", flatten, pooled, shape[:1])


def _dense(graph, layer, sources, tensor, time_step):
    import nir

    if layer.activation is not keras.activations.linear:
        raise ValueError(f"Layer {layer.name!r} must have no activation.")
    weight, bias = _weights(layer, (1, 0))
    return graph.add(layer.name, nir.Affine(weight, bias), sources[0], (len(weight),))


def _neuron(graph, layer, sources, tensor, time_step):
    import nir

    if type(layer).dynamics is not LinearNeuron.dynamics:
        raise _refused(layer)
    if layer.reset != "hard":
        raise ValueError(
            f'Neurons of NIR are reset to a value. Layer {layer.name!r} must have reset="hard".'
        )
    shape = graph.shape(sources[0])
    decay, gain = (np.broadcast_to(numbers(c), shape[:1]) for c in layer.coefficients())
    # NIR's neurons fire above the threshold, and ours at it.
    below = np.nextafter(np.float32(layer.threshold), np.float32(0))

    def full(values, dtype="float32"):
        values = np.reshape(values, (-1, *[1] * (len(shape) - 1)))
        return np.broadcast_to(values, shape).astype(dtype)

    same = {"v_threshold": full(below), "v_reset": full(0.0), "r": full(1.0)}
    if np.all(decay == 1.0):
        graph.gains[layer.name] = gain
        return graph.add(layer.name, nir.IF(**same), sources[0], shape)
    if np.any(decay == 1.0):
        raise ValueError(f"The decay of layer {layer.name!r} must be 1 for all or for none.")
    graph.gains[layer.name] = gain / (1.0 - decay)
    # M is to be the same again: 1 minus a rounded quotient has few digits for M near 0.
    tau = full(time_step / (1.0 - decay), "float64")
    node = nir.LIF(tau=tau, v_leak=full(0.0), **same)
    return graph.add(layer.name, node, sources[0], shape)


def _weights(layer, axes):
    """Kernel with these axes, and bias, zeros where there is none."""
    weight = numbers(layer.kernel).transpose(axes)
    return weight, np.zeros(len(weight)) if layer.bias is None else numbers(layer.bias)


def _channels_first(shape):
    """(C, H, W) or (C,) of a tensor (B, H, W, C), (B, T, H, W, C), (B, C) or (B, T, C)."""
    sizes = tuple(shape)[-3:] if len(shape) >= 4 else tuple(shape)[-1:]
    if None in sizes:
        raise ValueError(f"`model` must have an input of known sizes. Received: {tuple(shape)}")
    return (sizes[-1], *sizes[:-1])


_CONVERTERS = {
    keras.layers.InputLayer: _input,
    (layers.RepeatSteps, layers.MeanOverSteps): _pass,
    (keras.layers.Dropout, keras.layers.Identity): _pass,
    # A convolution takes it for its own padding.
    keras.layers.ZeroPadding2D: _pass,
    keras.layers.Activation: _activation,
    keras.layers.Normalization: _normalization,
    keras.layers.BatchNormalization: _batch_normalization,
    keras.layers.Conv2D: _convolution,
    keras.layers.AveragePooling2D: _average_pool,
    keras.layers.GlobalAveragePooling2D: _global_average,
    keras.layers.Dense: _dense,
    keras.layers.Add: _add,
    LinearNeuron: _neuron,
}
