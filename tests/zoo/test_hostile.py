"""A preset from elsewhere runs nothing, reads nothing beside it and takes no memory it has not."""

import json
import sys

import keras
import numpy as np
import pytest

import keras_staa
from keras_staa import serialized, zoo
from keras_staa.layers import LIF, STAALIF
from keras_staa.surrogates import Triangular
from tests.zoo.hostile import describe, refused, with_arguments
from tests.zoo.support import predictions, saved, tiny


def form(class_name, config=None, module=None, name=None):
    return {
        "module": module,
        "class_name": class_name,
        "config": {} if config is None else config,
        "registered_name": name or class_name,
    }


BOMB = form("Bomb", {}, "keras_hub.evil")
FORMS = {
    "a module beside Keras's": BOMB,
    "a layer of Keras": form("Dense", {"units": 3}, "keras.layers"),
    "a layer that runs files": form("TFSMLayer", {"filepath": "/tmp/x"}, "keras.layers"),
    "a lambda": form("__lambda__", {"value": "gAAA"}, "builtins"),
    "an array": form("__numpy__", {"value": [1.0], "dtype": "float32"}),
    "a function of the system": form("function", "system", "os", "system"),
    "an activation": form("function", "relu", "builtins", "function"),
    "a wrapper of ours": form(
        "PerStep", {"layer": BOMB}, "keras_staa.layers.steps", "keras_staa>PerStep"
    ),
    "a layer of ours in Keras's way": form(
        "Conv2D", {"filters": 3, "kernel_size": 3}, "keras_staa.layers", "keras_staa>Conv2D"
    ),
    "one inside ours": form("LIF", {"surrogate": BOMB}, None, "keras_staa>LIF"),
    "a dtype inside ours": form("LIF", {"dtype": BOMB}, None, "keras_staa>LIF"),
    "another name": form("LIF", {}, "keras_hub.evil", "keras_hub>LIF"),
    "no configuration": {"class_name": "LIF", "registered_name": "keras_staa>LIF"},
    "no name": {"class_name": None, "config": {}},
}


@pytest.fixture
def bomb(tmp_path, monkeypatch):
    """A package of a name that Keras imports from, which notes that it was imported."""
    folder = tmp_path / "path" / "keras_hub"
    folder.mkdir(parents=True)
    mark = tmp_path / "imported"
    for name in ("__init__", "evil"):
        (folder / f"{name}.py").write_text(f"open({str(mark)!r}, 'w').close()\n")
    monkeypatch.syspath_prepend(folder.parent)
    yield mark
    for name in [name for name in sys.modules if name.startswith("keras_hub")]:
        del sys.modules[name]


@pytest.mark.parametrize("kind", FORMS)
@pytest.mark.parametrize(
    "place",
    ["neuron", "surrogate", "attention", "activation"],
)
def test_a_description_names_only_what_is_on_the_list(place, kind, copy, bomb):
    found = FORMS[kind]
    if place == "activation":
        if kind == "an activation":
            pytest.skip("is allowed here")
        with_arguments(copy, classifier_activation=found)
    elif place == "surrogate":
        if kind == "an activation":
            pytest.skip("is a function of u")
        with_arguments(copy, neuron={"threshold": 0.3, "surrogate": found})
    elif place == "attention":
        with_arguments(copy, attention={"position": "axial", "seed": found})
    else:
        with_arguments(copy, neuron=found)
    refused(copy, "preset.json")
    with pytest.raises(ValueError, match=r"preset\.json"):
        zoo.load(copy, weights=False)
    assert not bomb.exists()


@pytest.mark.parametrize("kind", FORMS)
def test_a_dictionary_from_elsewhere_imports_nothing(kind, bomb):
    if kind in ("an activation", "a layer of ours in Keras's way"):
        pytest.skip("imports nothing")
    with pytest.raises((ValueError, TypeError)):
        keras_staa.surrogates.get(FORMS[kind])
    with pytest.raises(ValueError):
        tiny(neuron=FORMS[kind])
    assert not bomb.exists()


def test_the_list_is_what_this_library_registers():
    known = serialized.classes()
    for entry in (LIF, STAALIF, Triangular):
        assert known[f"keras_staa>{entry.__name__}"] is entry
    for entry in ("PerStep", "Conv2D", "BatchNormalization", "Network"):
        assert f"keras_staa>{entry}" not in known
        assert f"keras_staa>{entry}" in keras.saving.get_custom_objects()


@keras.saving.register_keras_serializable("another_package")
class Registered(LIF):
    """A neuron that the program has registered, which no preset may name by that alone."""


def test_a_neuron_of_ones_own_is_named_by_the_one_who_loads(tmp_path):
    model = tiny(neuron=Registered(threshold=0.3))
    folder = saved(tmp_path / "preset", model)
    refused(folder, "custom_object_scope", "'Registered'")
    with keras.saving.custom_object_scope({"Registered": Registered}):
        again = zoo.load(folder)
    assert type(again.get_layer("stem_neuron")) is Registered
    np.testing.assert_allclose(predictions(again), predictions(model), atol=1e-6)
    # In a dictionary of the program itself it is its own.
    own = keras.saving.serialize_keras_object(Registered(threshold=0.3))
    assert type(tiny(neuron=own).get_layer("stem_neuron")) is Registered


@pytest.mark.parametrize("name", ("weights", "input_tensor", "name", "remat"))
def test_an_argument_that_no_preset_has(name, copy):
    with_arguments(copy, **{name: "/etc/passwd"})
    refused(copy, "preset.json", name)
    with pytest.raises(ValueError, match=name):
        zoo.describe(copy)


def twice(text):
    return text.replace('"classes": 3', '"classes": 5, "classes": 3', 1)


TEXTS = {
    "a key twice": twice,
    "a key twice inside": lambda t: t.replace('"threshold": 0.3', '"threshold": 9, "threshold": 1'),
    "no number": lambda t: t.replace("0.3", "NaN"),
    "an infinite number": lambda t: t.replace("0.3", "1e999"),
    "a deep one": lambda t: t.replace('"training": {}', '"training": {"a": %s}' % ("[" * 10**5)),
    "a large one": lambda t: t + " " * 2**22,
    "no text": lambda t: "\udcff" + t,
    "text for a number": lambda t: t.replace('"classes": 3', '"classes": "3"', 1),
}


@pytest.mark.parametrize("kind", TEXTS)
def test_a_description_that_is_not_plain(kind, copy):
    path = copy / "preset.json"
    text = path.read_text("utf-8")
    changed = TEXTS[kind](json.dumps(json.loads(text)))
    assert changed != text
    path.write_bytes(changed.encode("utf-8", "surrogateescape"))
    refused(copy, "preset.json")
    with pytest.raises(ValueError, match=r"preset\.json"):
        zoo.describe(copy)


CONTRADICTIONS = {
    "classes": lambda said: said.update(classes=4),
    "names": lambda said: said["class_names"].pop(),
    "classes of the arguments": lambda said: said["arguments"].update(classes=4),
    "steps": lambda said: said.update(steps=2),
    "parameters": lambda said: said.update(parameters=said["parameters"] + 1),
    "bytes": lambda said: said.update(bytes=said["bytes"] + 1),
    "frames": lambda said: said["arguments"].update(input_shape=[2, 16, 16, 3]),
    "dtype": lambda said: said.update(weights_dtype="float64"),
    "width": lambda said: said["arguments"].update(width=10**30),
    "all of classes": lambda said: (
        said.update(classes=2, class_names=["a", "b"]),
        said["arguments"].update(classes=2),
    ),
}


@pytest.mark.parametrize("kind", CONTRADICTIONS)
def test_a_description_that_contradicts_itself_or_the_weights(kind, copy):
    describe(copy, CONTRADICTIONS[kind])
    refused(copy)


@pytest.mark.parametrize(
    "arguments",
    [
        {"width": "4"},
        {"normalization": [[None, 1], [0, 1], [0, 1]]},
        {"normalization": 3},
        {"neuron": {"threshold": []}},
        {"neuron": {"colour": 1}},
        {"neuron": {"surrogate": 5}},
        {"attention": {"ratio": {}}},
        {"attention": {"seed": "a"}},
        {"attention": [1]},
        {"input_shape": 5},
        {"input_shape": [16, 16]},
        {"input_shape": [16, 16, "3"]},
        {"pooling": {}},
        {"classifier_activation": "colour"},
        {"classifier_activation": 7},
        {"step_logits": 1},
    ],
    ids=str,
)
def test_arguments_of_other_types(arguments, copy):
    with_arguments(copy, **arguments)
    refused(copy, "preset.json")
