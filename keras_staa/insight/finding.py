"""Layers by their names, in models inside of models too."""

import difflib

import keras
import numpy as np

from keras_staa import _keras
from keras_staa.layers.staa_neurons import spiking_layers
from keras_staa.models.network import Network


def check_model(model):
    """Check that a model is built, and that its layers are known.

    Args:
        model: what was given for a `keras.Model`.

    Raises:
        ValueError: if it is none, or not functional.
    """
    if not isinstance(model, keras.Model):
        raise ValueError(f"`model` must be a keras.Model. Received: model={model!r}")
    if not _keras.is_functional(model):
        raise ValueError(
            "`model` must be a functional or sequential model that is built, whose layers are "
            f"known. Received: a model of the kind `{type(model).__name__}`"
        )
    if len(model.inputs) != 1:
        raise ValueError(f"`model` must have one input. Received: {len(model.inputs)} inputs")


def check_spiking(model):
    """Check the same, and that there are neurons of this library.

    Args:
        model: as in `check_model`.

    Raises:
        ValueError: if not.
    """
    check_model(model)
    if not spiking_layers(model):
        raise ValueError(
            f"`model` must have neurons of this library, such as `LIF`. Received: {model.name!r}"
        )


def check_batch(batch, model):
    """Check that a batch has the shape that a model takes, and finite values.

    Args:
        batch: array (B, ...).
        model: what `check_model` let through. A network for images in [0, 1] warns of others.

    Raises:
        ValueError: if not.
    """
    shape = model.input_shape
    fits = len(batch.shape) == len(shape) and all(
        size in (None, given) for size, given in zip(shape[1:], batch.shape[1:], strict=True)
    )
    if not fits:
        raise ValueError(
            f"`x` must have samples of shape {tuple(shape[1:])}. Received: a batch of shape "
            f"{tuple(batch.shape)}"
        )
    if not np.isfinite(batch).all():
        raise ValueError("`x` must have finite values. Received: NaN or infinity")
    if isinstance(model, Network):
        model.check_range(batch)


def numbered(name, taken):
    """Return the name of a call of a layer: its own, and `/2` and so on for further calls.

    Args:
        name: string, of the layer.
        taken: the names of the calls before.
    """
    found, times = name, 1
    while found in taken:
        times += 1
        found = f"{name}/{times}"
    return found


def layers_of_kind(model, kinds):
    """Return the layers of these classes, by name: those of the model, not what they are made of.

    Args:
        model: a functional or sequential model.
        kinds: tuple of classes.
    """
    found = {}
    for layer in model.layers:
        if isinstance(layer, kinds):
            found[layer.name] = layer
        elif _keras.is_functional(layer):
            found |= layers_of_kind(layer, kinds)
    return found


def named(argument, name, found, what):
    """Return what has a name, or an error that suggests near ones.

    Args:
        argument: string, the argument that the name was given for.
        name: string.
        found: dictionary by name.
        what: string, what the name should be that of.

    Raises:
        ValueError: if there is no such name.
    """
    if name in found:
        return found[name]
    near = difflib.get_close_matches(str(name), found, n=3, cutoff=0.5) or list(found)[:3]
    raise ValueError(
        f"`{argument}` must be the name of {what}, such as {', '.join(map(repr, near))}. "
        f"Received: {argument}={name!r}"
    )
