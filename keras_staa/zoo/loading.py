"""List, describe and load presets."""

import contextlib

import keras

from keras_staa import checks, presets
from keras_staa.models import pretrained, registry


def list_models():
    """Return the canonical names of the presets that come with this library, sorted.

    Returns:
        A list of strings, each of the form `architecture_wWIDTH_tSTEPS.dataset`, or
        `architecture_lif_wWIDTH_tSTEPS.dataset` for a network without the aggregator.

    Example:

    >>> isinstance(list_models(), list)
    True
    """
    return presets.names()


def describe(name_or_folder):
    """Return what is known of a preset: how it was made and how well it does.

    Args:
        name_or_folder: a canonical name, an alias such as `"cifar10"`, or the path of a folder
            that `save` wrote.

    Returns:
        A dictionary: `name`, `architecture`, `arguments`, `data_set`, `classes`, `class_names`,
        `steps`, `parameters` (the trainable ones, those of frozen layers included), `accuracy` (a
        dictionary with `value` in [0, 1], `split`, `images` and how it was `measured`, or None),
        `training`, `licence`, `sha256`, `bytes`, ...

    Raises:
        ValueError: if there is no such preset, or its description is damaged.

    Example:

    >>> describe("cifar10")["classes"]
    10
    """
    preset = presets.open_preset(name_or_folder)
    if preset.architecture in registry.FACTORIES:
        pretrained.check_names(registry.FACTORIES[preset.architecture], preset)
    return preset.as_dictionary()


def load(
    name_or_folder,
    classes=None,
    include_top=True,
    weights=True,
    dtype=None,
    freeze=None,
    **arguments,
):
    """Return a trained network as an ordinary functional `keras.Model`.

    It takes images (B, H, W, C) scaled to [0, 1], or, of recordings of event cameras, frames of
    counts (B, T, H, W, 2) as `keras_staa.data.events` gives them, and returns probabilities
    (B, classes), unless its `arguments` say otherwise (see `describe`). The sha256 of the weights
    is checked, and nothing of the files is run: a preset may name neurons and surrogates of this
    library and activations of Keras. To load one with a neuron of your own, load it inside
    `keras.saving.custom_object_scope({"MyNeuron": MyNeuron})`.

    Args:
        name_or_folder: a canonical name, an alias such as `"cifar10"`, or the path of a folder
            that `save` wrote. A string that is both a name and a folder is refused.
        classes: None (or the preset's own number) for the trained read-out; another number gives
            a fresh read-out on the trained features, for fine-tuning.
        include_top: if False, the network ends in features: (B, T, h, w, channels), and with
            `pooling="steps"` (B, h, w, channels), which tasks for images build on.
        weights: if False, the same network with random weights.
        dtype: dtype policy of the network, such as `"mixed_bfloat16"`. Default: Keras's.
        freeze: None, `"backbone"`, the name of a stage or a list of them: what stands still in
            training. See `keras_staa.models.Network.freeze`.
        **arguments: any other argument of the network's factory, such as `steps`, `input_shape`,
            `input_tensor`, `pooling`, `classifier_activation`, `step_logits`, `remat`, `name`; see
            `keras_staa.STAAVGG`. What is not given is the preset's. `neuron={"surrogate":
            "sigmoid"}` changes arguments of its neurons, and `neuron=keras_staa.layers.PLIF()`
            puts others in their place, which start anew: both are for fine-tuning.

    Returns:
        A `keras.Model`, not compiled.

    Raises:
        ValueError: if there is no such preset, a file of it is damaged or not to be trusted, or an
            argument contradicts it.
        FileNotFoundError: if the weights are missing.
        TypeError: for an argument that the factory does not take.

    Example:

    >>> model = load("cifar10", classes=5)
    >>> model.output_shape
    (None, 5)
    >>> load("cifar10", include_top=False, pooling="steps").output_shape
    (None, 3, 3, 288)
    """
    preset = presets.open_preset(name_or_folder)
    if preset.architecture not in registry.FACTORIES:
        raise ValueError(
            f"{preset.path} must name one of {sorted(registry.FACTORIES)}; import the module of a "
            f"network of your own first. Received: architecture={preset.architecture!r}"
        )
    factory = registry.FACTORIES[preset.architecture]
    arguments["include_top"] = checks.boolean("include_top", include_top)
    if classes is not None:
        arguments["classes"] = checks.positive_int("classes", classes)
    with _policy(dtype):
        if checks.boolean("weights", weights):
            model = factory(weights=preset, **arguments)
        else:
            model = pretrained.untrained(factory, preset, arguments)
    return model if freeze is None else model.freeze(freeze)


@contextlib.contextmanager
def _policy(dtype):
    """Inside, layers are made with a dtype policy."""
    before = keras.config.dtype_policy()
    try:
        if dtype is not None:
            keras.config.set_dtype_policy(dtype)
        yield
    finally:
        keras.config.set_dtype_policy(before)
