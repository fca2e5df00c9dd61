"""List, describe and load presets."""

import inspect

from keras_staa import checks, presets
from keras_staa.models import FACTORIES


def list_models():
    """The canonical names of the presets that come with this library, sorted.

    Returns:
        A list of strings, each of the form `architecture_wWIDTH_tSTEPS.dataset`.

    Example:

    >>> isinstance(list_models(), list)
    True
    """
    return presets.names()


def describe(name_or_folder):
    """What is known of a preset: how it was made and how well it does.

    Args:
        name_or_folder: a canonical name, an alias such as `"cifar10"`, or the path of a folder
            that `save` wrote.

    Returns:
        A dictionary: `name`, `architecture`, `arguments`, `data_set`, `classes`, `class_names`,
        `steps`, `parameters`, `accuracy` (a dictionary with `value` in [0, 1], `split`, `images`
        and how it was `measured`, or None), `training`, `licence`, `sha256`, `bytes`, ...

    Raises:
        ValueError: if there is no such preset, or its description is damaged.

    Example:

    >>> describe("cifar10")["classes"]
    10
    """
    return presets.read(presets.find(name_or_folder)).model_dump()


def load(name_or_folder, classes=None, include_top=True, weights=True):
    """A trained network as an ordinary functional `keras.Model`.

    It takes images (B, H, W, C) scaled to [0, 1], or, of recordings of event cameras, frames of
    counts (B, T, H, W, 2) as `keras_staa.data.events` gives them, and returns probabilities
    (B, classes), unless its `arguments` say otherwise (see `describe`). The sha256 of the weights
    is checked.

    Args:
        name_or_folder: a canonical name, an alias such as `"cifar10"`, or the path of a folder
            that `save` wrote.
        classes: None (or the preset's own number) for the trained read-out; another number gives
            a fresh read-out on the trained features, for fine-tuning.
        include_top: if False, the network ends in features (B, T, h, w, channels).
        weights: if False, the same network with random weights.

    Returns:
        A `keras.Model`, not compiled.

    Raises:
        ValueError: if there is no such preset, or a file of it is damaged.
        FileNotFoundError: if the weights are missing.

    Example:

    >>> model = load("cifar10", classes=5)
    >>> model.output_shape
    (None, 5)
    """
    folder = presets.find(name_or_folder)
    preset = presets.read(folder)
    arguments = {**preset.arguments, "include_top": checks.boolean("include_top", include_top)}
    if classes is not None:
        arguments["classes"] = checks.positive_int("classes", classes)
    if checks.boolean("weights", weights):
        arguments["weights"] = str(folder)
    checks.choice("architecture", preset.architecture, list(FACTORIES))
    factory = FACTORIES[preset.architecture]
    known = inspect.signature(factory).parameters
    checks.choice_each(f"arguments of {folder / presets.DESCRIPTION}", arguments, list(known))
    return factory(**arguments)
