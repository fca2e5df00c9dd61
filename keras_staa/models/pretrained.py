"""Networks with the weights of a preset: what the argument `weights` of the factories does."""

import contextlib
import math

import keras

from keras_staa import _keras, checks, presets, serialized
from keras_staa.layers import flatten_layers
from keras_staa.models.argument import ABSENT, FIXED, FREE, RESHAPES, named
from keras_staa.models.deferred import deferred
from keras_staa.models.format import of_format
from keras_staa.models.transfer import transfer, transfer_from_file, transferable
from keras_staa.presets import weight_files, weight_store

SUFFIX = ".weights.h5"
# What a network without its top leaves in a file of one that has it.
READ_OUT_WEIGHTS = ("layers/dense/",)


def load(factory, weights, given):
    """Build a network and give it weights.

    Args:
        factory: a factory of the registry.
        weights: path of a `.weights.h5` file; or a preset: name, alias, folder, or what
            `keras_staa.presets.open_preset` gave.
        given: dictionary of the other arguments that the caller gave.

    Returns:
        A `keras_staa.models.Network`.

    Raises:
        ValueError: if the preset belongs to another factory, an argument contradicts it, or a
            file of it is damaged or asks for more than it holds.
        FileNotFoundError: if the weights are missing.
    """
    given = {k: v for k, v in given.items() if not (k == "input_shape" and v is None)}
    if str(weights).endswith(SUFFIX):
        return _from_file(factory, given, weights)
    preset = _opened(weights)
    if preset.architecture != factory.__name__:
        raise ValueError(
            f"`weights` must be a preset of {factory.__name__}. Received: "
            f"weights={str(preset.folder)!r}, which is one of {preset.architecture}"
        )
    file = preset.weights()
    stored = stored_arguments(factory, preset)
    wanted, foreign = _wanted(factory, stored, given, preset)
    with weight_files.opened(file) as held:

        def check(model):
            weight_store.check(model, held, file)
            _check_parameters(model, preset)

        names = preset.class_names if wanted["classes"] == len(preset.class_names) else None
        if given.get("input_tensor") is None and all(
            _equal(wanted[name], stored[name]) for name in named(factory.table, RESHAPES)
        ):
            try:
                target = _build(factory, wanted, check, class_names=names)
            except Exception:
                # The fault is the file's if its own arguments have it.
                with _of_file(preset):
                    _build(factory, stored, check, keep=False)
                raise
            weight_store.fill(target, held, file)
            return target
        with _of_file(preset):
            source = _build(factory, stored, check)
        weight_store.fill(source, held, file)
    target = factory.create(wanted, trained=True, class_names=names)
    transfer(source, target, foreign, swapped=not _equal(wanted["neuron"], stored["neuron"]))
    return target


def _opened(weights):
    if isinstance(weights, presets.Preset):
        return weights
    try:
        folder = presets.find(weights)
    except ValueError as error:
        raise ValueError(
            f"`weights` must be None, a `{SUFFIX}` file or a preset. {error}"
        ) from error
    return presets.open_preset(folder)


def untrained(factory, preset, given):
    """Build the network of a preset with random weights.

    Args:
        factory: a factory of the registry.
        preset: what `keras_staa.presets.open_preset` gave.
        given: dictionary of the arguments that the caller gave.

    Returns:
        A `keras_staa.models.Network`.

    Raises:
        ValueError: if the description or an argument is bad, or the description asks for more
            weights than it says there are.
    """
    stored = stored_arguments(factory, preset)

    def check(model):
        if preset.weights_path.is_file():
            with weight_files.opened(preset.weights_path) as held:
                weight_store.check(model, held, preset.weights_path)
        _check_parameters(model, preset)

    with _of_file(preset):
        _build(factory, stored, check, keep=False)
    return factory.create(_wanted(factory, stored, given, preset)[0])


def stored_arguments(factory, preset):
    """Return the arguments of a preset and the defaults of those that it does not name.

    Args:
        factory: a factory of the registry.
        preset: what `keras_staa.presets.open_preset` gave.

    Raises:
        ValueError: if there is something in them that a preset must not name.
    """
    check_names(factory, preset)
    defaults = {a.name: a.default for a in factory.table if a.in_presets != ABSENT}
    with _of_file(preset):
        arguments = of_format(preset.arguments, preset.format)
        allowed = {k: serialized.checked(k, v) for k, v in arguments.items()}
        return {**defaults, **_checked(factory, allowed)}


def _checked(factory, arguments):
    return {
        a.name: a.check(a.name, arguments[a.name]) for a in factory.table if a.name in arguments
    }


def check_names(factory, preset):
    """Refuse a preset with arguments that presets of the factory do not keep, by a ValueError."""
    with _of_file(preset):
        checks.choice_each(
            "arguments", preset.arguments, named(factory.table, FIXED, RESHAPES, FREE)
        )


@contextlib.contextmanager
def _of_file(preset):
    """Whatever a stored argument breaks is said of the file that holds it."""
    path = preset.path
    try:
        yield
    except Exception as error:
        if isinstance(error, ValueError) and str(preset.folder) in str(error):
            raise
        raise ValueError(f"{path} describes a network that cannot be built: {error}") from error


def _wanted(factory, stored, given, preset):
    """Return the arguments of the network to build, and names of layers that are not its own."""
    wanted = {**stored, **_checked(factory, given)}
    if isinstance(wanted["neuron"], dict) and isinstance(stored["neuron"], dict):
        wanted["neuron"] = {**stored["neuron"], **wanted["neuron"]}
    for name in named(factory.table, FIXED):
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


def _build(factory, arguments, check, keep=True, **more):
    """Return a network that `check` has seen before its weights took memory."""
    # Someone else's neuron may need the values of its weights while it is built.
    late = deferred(keep) if _is_ours(arguments.get("neuron")) else contextlib.nullcontext()
    with late:
        model = factory.create(arguments, trained=True, **more)
        check(model)
    return model


def _is_ours(neuron):
    known = serialized.classes()
    if isinstance(neuron, dict):
        return "class_name" not in neuron or neuron.get("registered_name") in known
    return neuron is None or type(neuron) in known.values()


def parameters(model):
    """Return the number of trainable parameters of a network, also of those that are frozen.

    Those of low-rank adaptation do not count: files hold their sum with the kernel.
    """
    every = (v for layer in flatten_layers(model) for v in _keras.trainable_even_if_frozen(layer))
    found = {id(v): v for v in every if not v.name.startswith("lora_")}
    return sum(math.prod(v.shape) for v in found.values())


def _check_parameters(model, preset):
    if (found := parameters(model)) != preset.parameters:
        raise ValueError(
            f"{preset.path} states {preset.parameters} parameters, but describes a network "
            f"with {found}."
        )


def _from_file(factory, given, file):
    """Return a network with the weights of a file that does not say of which arguments it is."""
    with weight_files.opened(file) as held:

        def check(model):
            other = transferable(model, weight_store.names(model))
            weight_store.check(model, held, file, READ_OUT_WEIGHTS, other)

        model = _build(factory, given, check)
        if weight_store.fits(model, held):
            weight_store.fill(model, held, file)
        else:
            transfer_from_file(held, weight_store.names(model), model)
        return model


def _equal(a, b):
    return _plain(a) == _plain(b)


def _plain(value):
    """Return a form in which (1, 2) equals [1, 2], and a layer one of the same configuration."""
    value = _reduced(serialized.plain(value))
    if isinstance(value, dict) and "class" in value:
        # The automatic name of a layer is not what tells it apart.
        value["config"].pop("name", None)
    return value


def _reduced(value):
    """Strip stored forms of the module of their class and of whether the layer was built."""
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
    """Return the names of the layers that made a tensor."""
    inputs = keras.utils.get_source_inputs(tensor)
    return {layer.name for layer in keras.Model(inputs, tensor).layers}
