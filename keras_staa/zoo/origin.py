"""The factory network that a model is, or that predicts what the model predicts."""

import keras
import numpy as np

from keras_staa import _keras
from keras_staa.layers import MeanOverSteps
from keras_staa.models import FACTORIES
from keras_staa.models.recognition import recognize
from keras_staa.models.transfer import transfer

# What may stand behind a network without its top, so that both together are one with it.
HEAD = (
    keras.layers.Dense,
    keras.layers.Dropout,
    keras.layers.Activation,
    keras.layers.Softmax,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.GlobalAveragePooling3D,
    MeanOverSteps,
)
# The axes over which these take the mean.
MEANS = {
    keras.layers.GlobalAveragePooling2D: {"space"},
    keras.layers.GlobalAveragePooling3D: {"steps", "space"},
    MeanOverSteps: {"steps"},
}


def factory_network(model):
    """Return a network of a factory that predicts what a model does.

    Args:
        model: what a factory or `zoo.load` returned, also cloned or read from a `.keras` file; or
            a network without its top, with the mean over steps and space, at most one Dropout
            after another and one Dense layer on top of it.

    Returns:
        The factory's name, its arguments, and the network: `model` itself where that is one.

    Raises:
        ValueError: if the model is none of these.
    """
    found = recognize(model, FACTORIES.values())
    if found is not None:
        if not found[1]["include_top"]:
            raise ValueError(
                "`model` must have its read-out (include_top=True) to be a preset, or a Dense "
                f"layer on the mean over steps and space. Received: model={model!r}"
            )
        return *found, model
    known = (
        (base, head, recognize(base, FACTORIES.values())) for base, head in _taken_apart(model)
    )
    base, head, found = next(
        (way for way in known if way[2] is not None and not way[2][1]["include_top"]),
        (None, None, None),
    )
    if found is None:
        raise ValueError(
            "`model` must be a network of a factory of keras_staa or of `zoo.load`, such a "
            "network copied or read from a `.keras` file, or one without its top and a Dense "
            "layer on it. Write other models with `model.save('name.keras')`. "
            f"Received: model={model!r}"
        )
    name, arguments = found
    dense, activation = _read_out(head, arguments["pooling"])
    own = {"include_top": True, "pooling": None, "classes": dense.units}
    arguments = {**arguments, **own, "classifier_activation": activation}
    network = FACTORIES[name](**arguments)
    transfer(base, network)
    kernel, *bias = dense.get_weights()
    network.get_layer("predictions").set_weights([kernel, *(bias or [np.zeros(dense.units)])])
    return name, dict(network.arguments), network


def _taken_apart(model):
    """Yield the ways to take a chain of layers as a network and a head on top of it."""
    if isinstance(model, keras.Sequential) and model.built:
        model = keras.Model(model.inputs, model.outputs)
    outputs = getattr(model, "outputs", None) or []
    if len(outputs) != 1 or len(model.inputs) != 1:
        return
    tensor, head = outputs[0], []
    while True:
        operation = _keras.made_by(tensor)
        if isinstance(operation, MeanOverSteps):
            # It may be the end of the network itself.
            yield keras.Model(model.inputs, tensor, name=model.name), list(head)
        if not isinstance(operation, HEAD):
            break
        head.insert(0, operation)
        (tensor,) = _keras.inputs_of(tensor)
    if not isinstance(operation, keras.Model):
        yield keras.Model(model.inputs, tensor, name=model.name), head
    elif _keras.inputs_of(tensor)[0] is model.inputs[0]:
        yield operation, head


def _read_out(head, pooling):
    """Return the Dense layer and the activation of a head that is a read-out."""
    means = {None: set(), "steps": {"steps"}, "avg": {"steps", "space"}}.get(pooling, set())
    dense, activation = None, None
    for layer in head:
        if isinstance(layer, keras.layers.Dropout):
            continue
        if type(layer) in MEANS and dense is None:
            means = means | MEANS[type(layer)]
        elif type(layer) is keras.layers.Dense and dense is None:
            dense, activation = layer, layer.activation
        elif type(layer) in (keras.layers.Activation, keras.layers.Softmax) and (
            dense is not None
            and activation is keras.activations.linear
            and getattr(layer, "axis", -1) == -1
        ):
            activation = getattr(layer, "activation", keras.activations.softmax)
        else:
            dense = None
            break
    if dense is None or means != {"steps", "space"}:
        raise ValueError(
            '`model` must end in the mean over steps and space (`pooling="avg"`), one Dense '
            "layer and at most an activation, to be a preset. Train the read-out of "
            "`zoo.load(..., classes=N)` instead, or write the model with "
            "`model.save('name.keras')`. Received: a model with the layers "
            f"{[layer.name for layer in head]} on top"
        )
    return dense, None if activation is keras.activations.linear else activation
