"""Networks with the weights of a preset: what the argument `weights` of the factories does."""

import contextlib
import inspect
import math

import keras

from keras_staa import checks, presets, serialized, weight_files, weight_store
from keras_staa.layers import flatten_layers
from keras_staa.models.deferred import deferred
from keras_staa.models.transfer import transfer, transfer_from_file, transferable

SUFFIX = ".weights.h5"
# Other values of these would make other weights. The rest may differ from the preset's.
FIXED = ("width", "attention", "neuron", "causal")
# Where one of these differs, weights are transferred; else the file is read as it is.
SHAPING = ("include_top", "input_shape", "input_tensor", "classes", "steps")
# What a network without its top leaves in a file of one that has it.
READ_OUT_WEIGHTS = ("layers/dense/",)


def load(create, given, full):
    """Build a network and give it the weights that `given["weights"]` names.

    Args:
        create: function `(**arguments)` that builds a network with random weights.
        given: the arguments that the caller gave.
        full: function `(arguments) -> arguments` that adds the factory's defaults.

    Returns:
        A `keras.Model`.

    Raises:
        ValueError: if the preset belongs to another factory, an argument contradicts it, or a
            file of it is damaged or asks for more than it holds.
        FileNotFoundError: if the weights are missing.
    """
    given = {k: v for k, v in given.items() if not (k == "input_shape" and v is None)}
    weights = given.pop("weights")
    if str(weights).endswith(SUFFIX):
        return _from_file(create, given, weights)
    try:
        folder = presets.find(weights)
    except ValueError as error:
        raise ValueError(
            f"`weights` must be None, a `{SUFFIX}` file or a preset. {error}"
        ) from error
    preset = presets.read(folder)
    if preset.architecture != create.__name__:
        raise ValueError(
            f"`weights` must be a preset of {create.__name__}. Received: weights={weights!r}, "
            f"which is one of {preset.architecture}"
        )
    file = presets.weights(folder)
    stored = full(stored_arguments(folder, preset, full({})))
    wanted, foreign = _wanted(stored, given, preset)
    with weight_files.opened(file) as held:

        def check(model):
            weight_store.check(model, held, file)
            _check_parameters(model, folder, preset)

        if all(_equal(wanted[name], stored[name]) for name in SHAPING):
            try:
                target = _build(create, wanted, check)
            except Exception:
                # The fault is the file's if its own arguments have it.
                with _of_file(folder):
                    _build(create, stored, check, keep=False)
                raise
            weight_store.fill(target, held, file)
            return target
        with _of_file(folder):
            source = _build(create, stored, check)
        weight_store.fill(source, held, file)
    target = create(**wanted)
    transfer(source, target, foreign)
    return target


def untrained(create, folder, given):
    """Build the network of a preset with random weights.

    Args:
        create: a factory.
        folder: path of the preset.
        given: the arguments that the caller gave.

    Returns:
        A `keras.Model`.

    Raises:
        ValueError: if the description or an argument is bad, or the description asks for more
            weights than it says there are.
    """
    preset = presets.read(folder)
    defaults = {p.name: p.default for p in inspect.signature(create).parameters.values()}
    stored = {**defaults, **stored_arguments(folder, preset, defaults)}
    file = folder / presets.WEIGHTS

    def check(model):
        if file.is_file():
            with weight_files.opened(file) as held:
                weight_store.check(model, held, file)
        _check_parameters(model, folder, preset)

    with _of_file(folder):
        _build(create, stored, check, keep=False)
    return create(**_wanted(stored, given, preset)[0])


def stored_arguments(folder, preset, known):
    """The arguments of a preset, without anything in them that a preset must not name.

    Args:
        folder: path of the preset.
        preset: what `presets.read` gave.
        known: names of the arguments that the factory takes.

    Raises:
        ValueError: if there is such a thing.
    """
    with _of_file(folder):
        checks.choice_each("arguments", preset.arguments, list(known))
        arguments = {k: serialized.checked(k, v) for k, v in preset.arguments.items()}
        if "classifier_activation" in arguments:
            arguments["classifier_activation"] = serialized.activation(
                "classifier_activation", arguments["classifier_activation"]
            )
    return arguments


@contextlib.contextmanager
def _of_file(folder):
    """Whatever a stored argument breaks is said of the file that holds it."""
    path = folder / presets.DESCRIPTION
    try:
        yield
    except Exception as error:
        if isinstance(error, ValueError) and str(folder) in str(error):
            raise
        raise ValueError(f"{path} describes no network that can be built: {error}") from error


def _wanted(stored, given, preset):
    """The arguments of the network to build, and the names of layers that are not its own."""
    wanted = {**stored, **given}
    for name in FIXED:
        if not _equal(wanted[name], stored[name]):
            raise ValueError(
                f"`{name}` must be {stored[name]!r}, as in preset {preset.name!r}, or not be "
                f"given. Received: {name}={wanted[name]!r}"
            )
    _check_channels(stored, given, preset)
    if given.get("input_tensor") is not None:
        wanted["input_shape"] = given.get("input_shape")
        return wanted, _layers_before(given["input_tensor"])
    if "steps" in given and "input_shape" not in given and _is_frames(stored["input_shape"]):
        wanted["input_shape"] = (given["steps"], *stored["input_shape"][1:])
    return wanted, ()


def _check_channels(stored, given, preset):
    trained = stored["input_shape"]
    for name in ("input_shape", "input_tensor"):
        shape = given.get(name)
        shape = getattr(shape, "shape", shape)
        if trained and isinstance(shape, (tuple, list)) and shape and shape[-1] != trained[-1]:
            raise ValueError(
                f"`{name}` must have {trained[-1]} channels (the last axis), as preset "
                f"{preset.name!r} was trained on. Received: {name} of shape {tuple(shape)}"
            )


def _build(create, arguments, check, keep=True):
    """A network that `check` has seen before its weights took memory."""
    # Someone else's neuron may need the values of its weights while it is built.
    late = deferred(keep) if _is_ours(arguments.get("neuron")) else contextlib.nullcontext()
    with late:
        model = create(**arguments)
        check(model)
    return model


def _is_ours(neuron):
    known = serialized.classes()
    if isinstance(neuron, dict):
        return "class_name" not in neuron or neuron.get("registered_name") in known
    return neuron is None or type(neuron) in known.values()


def parameters(model):
    """The number of trainable parameters of a network, also of those that are frozen."""
    found = {id(v): v for layer in flatten_layers(model) for v in layer._trainable_variables}
    return sum(math.prod(v.shape) for v in found.values())


def _check_parameters(model, folder, preset):
    if (found := parameters(model)) != preset.parameters:
        raise ValueError(
            f"{folder / presets.DESCRIPTION} says that there are {preset.parameters} parameters, "
            f"and describes a network of {found}."
        )


def _from_file(create, given, file):
    """A network with the weights of a file that does not say of which arguments it is."""
    with weight_files.opened(file) as held:

        def check(model):
            other = transferable(model, weight_store.names(model))
            weight_store.check(model, held, file, READ_OUT_WEIGHTS, other)

        model = _build(create, given, check)
        if weight_store.fits(model, held):
            weight_store.fill(model, held, file)
        else:
            transfer_from_file(held, weight_store.names(model), model)
        return model


def _equal(a, b):
    return _plain(a) == _plain(b)


def _plain(value):
    """A form in which (32, 32, 3) equals [32, 32, 3], and a layer one of the same configuration."""
    value = _reduced(serialized.plain(value))
    if isinstance(value, dict) and "class" in value:
        # The automatic name of a layer is not what tells it apart.
        value["config"].pop("name", None)
    return value


def _reduced(value):
    """Stored forms without where their class is from and whether the layer was built yet."""
    if isinstance(value, list):
        return [_reduced(item) for item in value]
    if not isinstance(value, dict):
        return value
    if isinstance(value.get("config"), dict) and "class_name" in value:
        value = {"class": value["class_name"], "config": value["config"]}
    return {key: _reduced(item) for key, item in value.items()}


def _is_frames(shape):
    return shape is not None and len(shape) == 4


def _layers_before(tensor):
    """The names of the layers that made a tensor."""
    inputs = keras.utils.get_source_inputs(tensor)
    return {layer.name for layer in keras.Model(inputs, tensor).layers}
