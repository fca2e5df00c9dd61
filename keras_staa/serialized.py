"""Stored forms of objects: what a description from elsewhere may name, and nothing more.

Keras makes an object of any form that names a module of Keras or of a package beside it, which
imports that module. A form that came with a preset is therefore checked first. The list of what it
may name is one registration: `keras.saving.register_keras_serializable("keras_staa")` in
`keras_staa.layers` or `keras_staa.surrogates`.
"""

import json

import keras

PACKAGE = "keras_staa>"
PLACES = ("keras_staa.layers.", "keras_staa.surrogates")


def classes():
    """Return the classes that a stored form may name: a dictionary by their registered names.

    Those that extend one of Keras's own layers are left out: such a layer makes further objects of
    its configuration.
    """
    registered = keras.saving.get_custom_objects()
    return {
        name: entry
        for name, entry in registered.items()
        if name.startswith(PACKAGE) and _is_ours(entry) and not _extends_a_layer_of_keras(entry)
    }


def _is_ours(entry):
    return isinstance(entry, type) and entry.__module__.startswith(PLACES)


def _extends_a_layer_of_keras(entry):
    bases = [base for base in entry.__mro__ if base.__module__.startswith("keras.")]
    return any(issubclass(base, keras.layers.Layer) for base in bases if base is not keras.Layer)


def checked(name, value, registered=False):
    """Return a value with all the stored forms in it checked, and reduced to what makes the object.

    Args:
        name: of the argument, for errors.
        value: anything; forms are found in dictionaries and lists.
        registered: whether a form may also name what the program itself has registered with
            `keras.saving.register_keras_serializable`. What is named without a package in
            `keras.saving.custom_object_scope` is always allowed.

    Returns:
        A copy of the value.

    Raises:
        ValueError: if a form names anything else.
    """
    if isinstance(value, (list, tuple)):
        return [checked(name, item, registered) for item in value]
    if not isinstance(value, dict):
        return value
    if "class_name" not in value:
        return {key: checked(f"{name}[{key!r}]", item, registered) for key, item in value.items()}
    kind, config = value["class_name"], value.get("config")
    if kind == "DTypePolicy" and value.get("module") == "keras":
        return {"module": "keras", "class_name": kind, "config": _policy(name, config)}
    if kind == "function":
        return _function(name, config, registered)
    found = _registered_name(kind, value.get("registered_name"), registered)
    if found is None or not isinstance(config, dict):
        _refuse(name, kind)
    config = {key: checked(f"{name}[{key!r}]", item, registered) for key, item in config.items()}
    # Without the module there is nothing to import, without `build_config` nothing to allocate.
    return {"class_name": kind, "config": config, "registered_name": found, "module": None}


def make(name, value, registered=False):
    """Return the object of a stored form, after a check of it; any other value as it is."""
    if not isinstance(value, dict) or "class_name" not in value:
        return value
    value = checked(name, value, registered)
    return keras.saving.deserialize_keras_object(value) if isinstance(value, dict) else value


def activation(name, value):
    """`value`, None, the name of an activation of Keras or a stored form, with the form made."""
    value = checked(name, value)
    if isinstance(value, str):
        try:
            keras.activations.get(value)
        except ValueError:
            _refuse(name, value)
    elif value is not None and not callable(value):
        _refuse(name, value)
    return value


def plain(value):
    """Return what JSON gives back of a value: lists for tuples, stored forms for objects."""
    text = json.dumps(value, default=keras.saving.serialize_keras_object)
    return json.loads(text, object_hook=_alone)


def _alone(form):
    """Return a stored form without its number among the objects of a file that is being written."""
    return {key: value for key, value in form.items() if key != "shared_object_id"}


def _registered_name(kind, full, registered):
    if full in classes():
        return full
    # A key without a package was put there by the program that loads, by hand.
    if isinstance(kind, str) and ">" not in kind and keras.saving.get_registered_object(kind):
        return kind
    if registered and isinstance(full, str) and keras.saving.get_registered_object(full):
        return full
    # Written by hand, as Keras takes its own initializers and losses.
    if full is None and f"{PACKAGE}{kind}" in classes():
        return f"{PACKAGE}{kind}"
    return None


def _function(name, function, registered):
    """One of Keras's activations, or a function that the program registered."""
    if not isinstance(function, str):
        _refuse(name, function)
    if registered or ">" not in function:
        found = keras.saving.get_registered_object(function)
        if callable(found) and not isinstance(found, type):
            return found
    try:
        return keras.activations.get(function)
    except ValueError:
        _refuse(name, function)


def _policy(name, config):
    if not isinstance(config, dict) or set(config) != {"name"}:
        _refuse(name, "DTypePolicy")
    return {"name": str(config["name"])}


def _refuse(name, found):
    ours = sorted(entry.removeprefix(PACKAGE) for entry in classes())
    raise ValueError(
        f"`{name}` must name one of {ours} or an activation of Keras. For a class or function of "
        "your own, load inside `keras.saving.custom_object_scope({'ClassName': ClassName})`. "
        f"Received: {found!r}"
    )
