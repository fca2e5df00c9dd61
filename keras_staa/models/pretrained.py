"""Networks with the weights of a preset: what the argument `weights` of the factories does."""

import json

import keras

from keras_staa import checks, presets, weight_files
from keras_staa.models.transfer import transfer

# Other values of these would make other weights. The rest may differ from the preset's.
FIXED = ("width", "attention", "neuron", "causal")
# Where one of these differs, weights are transferred; else the file is read as it is.
SHAPING = ("include_top", "input_shape", "input_tensor", "classes", "steps")


def load(create, given, full):
    """Build a network and give it the weights that `given["weights"]` names.

    Args:
        create: function `(**arguments)` that builds a network with random weights.
        given: the arguments that the caller gave.
        full: function `(arguments) -> arguments` that adds the factory's defaults.

    Returns:
        A `keras.Model`.

    Raises:
        ValueError: if the preset belongs to another factory, or an argument contradicts it.
    """
    given = {k: v for k, v in given.items() if not (k == "input_shape" and v is None)}
    weights = given.pop("weights")
    if str(weights).endswith(".weights.h5"):
        model = create(**given)
        weight_files.load(model, weights)
        return model
    try:
        folder = presets.find(weights)
    except ValueError as error:
        raise ValueError(
            f"`weights` must be None, a `.weights.h5` file or a preset. {error}"
        ) from error
    preset = presets.read(folder)
    if preset.architecture != create.__name__:
        raise ValueError(
            f"`weights` must be a preset of {create.__name__}. Received: weights={weights!r}, "
            f"which is one of {preset.architecture}"
        )
    file = presets.weights(folder)
    stored = full(preset.arguments)
    checks.choice_each(f"arguments of {folder / presets.DESCRIPTION}", stored, full({}))
    wanted = {**stored, **given}
    for name in FIXED:
        if not _equal(wanted[name], stored[name]):
            raise ValueError(
                f"`{name}` must be {stored[name]!r}, as in preset {preset.name!r}, or not be "
                f"given. Received: {name}={wanted[name]!r}"
            )
    foreign = ()
    if given.get("input_tensor") is not None:
        wanted["input_shape"] = given.get("input_shape")
        foreign = _layers_before(given["input_tensor"])
    elif "steps" in given and "input_shape" not in given and _is_frames(stored["input_shape"]):
        wanted["input_shape"] = (given["steps"], *stored["input_shape"][1:])
    target = create(**wanted)
    if all(_equal(wanted[name], stored[name]) for name in SHAPING):
        weight_files.load(target, file)
        return target
    source = create(**stored)
    weight_files.load(source, file)
    transfer(source, target, foreign)
    return target


def _equal(a, b):
    return _plain(a) == _plain(b)


def _plain(value):
    """A form in which (32, 32, 3) equals [32, 32, 3], and a layer one of the same configuration."""
    value = json.loads(json.dumps(value, default=keras.saving.serialize_keras_object))
    if isinstance(value, dict) and "class_name" in value:
        # Neither its automatic name nor whether it is built yet tells layers apart.
        config = {k: v for k, v in value["config"].items() if k != "name"}
        value = {"class": value.get("registered_name") or value["class_name"], "config": config}
    return value


def _is_frames(shape):
    return shape is not None and len(shape) == 4


def _layers_before(tensor):
    """The names of the layers that made a tensor."""
    inputs = keras.utils.get_source_inputs(tensor)
    return {layer.name for layer in keras.Model(inputs, tensor).layers}
