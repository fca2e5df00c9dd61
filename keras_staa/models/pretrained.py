"""Networks with the weights of a preset: what the argument `weights` of the factories does."""

import json

import keras

from keras_staa import presets
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
    given = dict(given)
    weights = given.pop("weights")
    if str(weights).endswith(".weights.h5"):
        model = create(**given)
        model.load_weights(str(weights))
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
    wanted = {**stored, **given}
    for name in FIXED:
        if not _equal(wanted[name], stored[name]):
            raise ValueError(
                f"`{name}` must be {stored[name]!r}, as in preset {preset.name!r}, or not be "
                f"given. Received: {name}={wanted[name]!r}"
            )
    if given.get("input_tensor") is not None and "input_shape" not in given:
        wanted["input_shape"] = None
    target = create(**wanted)
    if all(_equal(wanted[name], stored[name]) for name in SHAPING):
        target.load_weights(str(file))
        return target
    source = create(**stored)
    source.load_weights(str(file))
    transfer(source, target)
    return target


def _equal(a, b):
    return _plain(a) == _plain(b)


def _plain(value):
    """A form in which (32, 32, 3) equals [32, 32, 3], and a layer one of the same configuration."""
    serialized = keras.saving.serialize_keras_object
    return json.dumps(value, sort_keys=True, default=serialized)
