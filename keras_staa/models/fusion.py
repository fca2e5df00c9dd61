"""Networks for inference, with their batch normalization inside the convolutions."""

import collections

import keras

from keras_staa import _keras, layers
from keras_staa.layers.native import affine, numbers
from keras_staa.layers.pooling import MaxPooling2D
from keras_staa.layers.steps import unwrapped
from keras_staa.models.network import Network

# Of these classes and not of others made of them, which may compute something else. The kernels of
# the first have the channels of the output last, whatever axis these are in the output.
LINEAR = {
    layers.Conv2D,
    *(keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D, keras.layers.Dense),
}
NORMS = {layers.BatchNormalization, keras.layers.BatchNormalization}
AVERAGES = {
    keras.layers.AveragePooling1D,
    keras.layers.AveragePooling2D,
    keras.layers.AveragePooling3D,
}
MAXIMA = {
    MaxPooling2D,
    *(keras.layers.MaxPooling1D, keras.layers.MaxPooling2D, keras.layers.MaxPooling3D),
}


def fuse(model):
    """Return a copy of a network for inference, with batch normalization in the convolutions.

    The moving averages, scale and center of a batch normalization go into kernel and bias of the
    convolution or Dense layer in front of it, and so does the gain N of an `LIF` behind it, where
    it is a number and nothing stands between. A pooling layer may stand between convolution and
    normalization. In the place of a batch normalization there is a `keras.layers.Identity` of the
    same name. What cannot be folded stays: behind a layer that is used elsewhere too, behind an
    activation, or behind maxima whose scale is not positive.

    The currents are the same but for rounding, which can flip a spike. Train before: there is no
    batch normalization left to train with. `factory` and `arguments` of the copy are None.

    Args:
        model: a built functional or sequential `keras.Model`, such as the factories and
            `zoo.load` return. It may hold others. It is not changed.

    Returns:
        A new model, compiled if `model` is: a `Network` for a `Network`.

    Raises:
        ValueError: if `model` is not a functional or sequential model, or not built.

    Example:

    >>> from keras_staa import STAAVGG
    >>> model = STAAVGG(width=4, steps=2)
    >>> fused = fuse(model)
    >>> images = np.random.rand(2, 32, 32, 3).astype("float32")
    >>> np.allclose(model.predict(images, verbose=0), fused.predict(images, verbose=0), atol=1e-5)
    True
    """
    plan = _planned(_checked(model))
    copies = {}

    def copy(layer):
        made = copies[id(layer)] = layer, _copy(layer, plan)
        return made[1]

    # A sequential model calls its layers by itself, without arguments.
    call = None if isinstance(model, keras.Sequential) else _call
    fused = keras.models.clone_model(model, None, copy, call, recursive=True)
    for layer, made in copies.values():
        if id(layer) in plan.affine:
            _set_weights(unwrapped(layer), unwrapped(made), *plan.affine[id(layer)])
        elif layer.weights and id(layer) not in plan.removed:
            made.set_weights(layer.get_weights())
    for found in [fused, *_keras.all_layers(fused)]:
        if isinstance(found, Network):
            found.forget_factory()
    return fused


class _Plan:
    """What becomes of layers, by their identity."""

    def __init__(self):
        # Scale and shift of the output, float64 (C,), of layers that take them in.
        self.affine = {}
        # Batch normalization that is gone.
        self.removed = set()
        # Neurons whose gain is 1 now.
        self.ungained = set()


def _checked(model):
    if not isinstance(model, keras.Model) or not _is_graph(model):
        raise ValueError(
            f"`model` must be a functional or sequential keras.Model. Received: model={model!r}"
        )
    if not model.built:
        raise ValueError("`model` must be built. Call it on data, or give it an input shape first.")
    return model


def _planned(model):
    """Find what can be folded in the graph of a model, and of models in it."""
    plan, graphs = _Plan(), {}
    _collect(model, graphs)
    calls = collections.Counter(id(x) for graph in graphs.values() for x, _ in graph.calls)
    for graph in graphs.values():
        for layer, given in graph.calls:
            if type(unwrapped(layer)) in NORMS:
                _fold_normalization(graph, calls, layer, given, plan)
        for layer, given in graph.calls:
            if type(layer) is layers.LIF and not layer.learn and layer.gain != 1.0:
                _fold_gain(graph, calls, layer, given, plan)
    return plan


def _collect(model, graphs):
    if id(model) not in graphs:
        graph = graphs[id(model)] = _Graph(model)
        for layer, _ in graph.calls:
            if _is_graph(layer):
                _collect(layer, graphs)


def _is_graph(layer):
    return isinstance(layer, keras.Sequential) or hasattr(layer, "operations")


class _Graph:
    """The calls of layers that the outputs of a model come from."""

    def __init__(self, model):
        self.calls, self.readers = [], collections.Counter()
        ends = keras.tree.flatten(model.outputs)
        waiting, seen = list(ends), set()
        self.readers.update(id(tensor) for tensor in ends)
        while waiting:
            tensor = waiting.pop()
            if id(tensor) not in seen:
                seen.add(id(tensor))
                given = _keras.inputs_of(tensor)
                self.calls.append((_keras.made_by(tensor), given))
                self.readers.update(id(x) for x in given)
                waiting.extend(given)

    def before(self, tensor, kinds, calls):
        """Walk back through layers of these kinds, called once, whose outputs nothing else reads.

        Returns:
            The layer before them, or None, and the list of layers walked through.
        """
        passed = []
        while True:
            layer = _keras.made_by(tensor)
            if calls[id(layer)] != 1 or self.readers[id(tensor)] != 1:
                return None, passed
            if type(unwrapped(layer)) not in kinds:
                return layer, passed
            passed.append(layer)
            (tensor,) = _keras.inputs_of(tensor)


def _fold_normalization(graph, calls, layer, given, plan):
    source, passed = graph.before(given[0], AVERAGES | MAXIMA, calls)
    linear, norm = unwrapped(source), unwrapped(layer)
    plain = type(linear) in LINEAR and linear.activation is keras.activations.linear
    if not plain or linear.quantization_mode is not None or calls[id(layer)] != 1:
        return
    rank = len(given[0].shape) - isinstance(layer, layers.PerStep)
    first = getattr(linear, "data_format", None) == "channels_first"
    if norm.axis % rank != (1 if first else rank - 1):
        return
    scale, shift = affine(norm)
    if all((scale > 0).all() or type(unwrapped(x)) not in MAXIMA for x in passed):
        plan.affine[id(source)] = scale, shift
        plan.removed.add(id(layer))


def _fold_gain(graph, calls, layer, given, plan):
    kinds = {layers.RepeatSteps} | NORMS | AVERAGES | MAXIMA
    source, passed = graph.before(given[0], kinds, calls)
    norms = [x for x in passed if type(unwrapped(x)) in NORMS]
    gone = all(id(norm) in plan.removed for norm in norms)
    if calls[id(layer)] == 1 and gone and id(source) in plan.affine:
        # A gain is positive, so that maxima let it through.
        scale, shift = plan.affine[id(source)]
        plan.affine[id(source)] = scale * layer.gain, shift * layer.gain
        plan.ungained.add(id(layer))


def _copy(layer, plan):
    if id(layer) in plan.removed:
        return keras.layers.Identity(name=layer.name, dtype=unwrapped(layer).dtype_policy.name)
    config = layer.get_config()
    if id(layer) in plan.ungained:
        config["gain"] = 1.0
    if id(layer) not in plan.affine:
        return type(layer).from_config(config)
    inner = unwrapped(layer)
    own = {**inner.get_config(), "use_bias": True}
    # Its kernel holds what it has learned.
    own.pop("lora_rank", None)
    made = type(inner).from_config(own)
    return made if inner is layer else layers.PerStep(made, name=layer.name)


def _call(layer, *args, **kwargs):
    # What is called as batch normalization was.
    return layer(args[0]) if isinstance(layer, keras.layers.Identity) else layer(*args, **kwargs)


def _set_weights(layer, made, scale, shift):
    kernel, bias = (
        0.0 if weight is None else numbers(weight) * scale for weight in (layer.kernel, layer.bias)
    )
    made.kernel.assign(kernel)
    made.bias.assign(bias + shift)
