"""The class of all networks: what it knows, and that nothing loses it."""

import copy
import pickle

import keras
import numpy as np
import pytest

from keras_staa import STAAVGG, STAACompact, STAAResNet18, STAAResNet20, models, zoo
from keras_staa.layers import ALIF
from keras_staa.presets import schema
from keras_staa.serialized import plain
from tests.zoo.support import CLASSES, Tiny, images, predictions, registered, saved, tiny


@pytest.fixture(autouse=True)
def known(monkeypatch):
    registered(monkeypatch)


def by_file(model, folder):
    model.save(folder / "a.keras")
    return keras.models.load_model(folder / "a.keras")


COPIES = {
    "a .keras file": by_file,
    "clone_model": lambda model, folder: keras.models.clone_model(model),
    "the config": lambda model, folder: type(model).from_config(model.get_config()),
    "pickle": lambda model, folder: pickle.loads(pickle.dumps(model)),
    "deepcopy": lambda model, folder: copy.deepcopy(model),
}


@pytest.mark.parametrize("way", COPIES)
def test_copies_know_what_the_network_knows(way, tmp_path):
    model = tiny(neuron=ALIF(threshold=0.3), attention={"ratio": 2}, remat=True)
    model.class_names = CLASSES
    copied = COPIES[way](model, tmp_path)
    assert isinstance(copied, models.Network)
    assert copied.factory == model.factory == "Tiny"
    assert plain(copied.get_config()) == plain(model.get_config())
    assert copied.get_config()["remat"] is True
    assert copied.class_names == list(CLASSES)
    assert [t.shape for t in copied.stage_outputs.values()] == [
        t.shape for t in model.stage_outputs.values()
    ]
    copied.set_weights(model.get_weights())
    folder = saved(tmp_path / "preset", copied)
    np.testing.assert_allclose(predictions(zoo.load(folder)), predictions(model), atol=1e-6)


def test_arguments_are_those_that_made_it():
    model = Tiny(classes=3, steps=2, normalization=[(0.5, 0.25)] * 3, name="other", remat=True)
    known = dict(model.arguments)
    assert (known["classes"], known["steps"], known["width"]) == (3, 2, 4)
    assert known["normalization"] == ((0.5, 0.25),) * 3
    assert not {"weights", "input_tensor", "name", "remat"} & set(known)
    with pytest.raises(TypeError):
        model.arguments["classes"] = 5
    frames = Tiny(input_shape=(5, 16, 16, 2))
    assert (frames.arguments["steps"], frames.arguments["input_shape"]) == (5, (5, 16, 16, 2))


def test_a_network_of_ones_own_tensors_knows_nothing():
    inputs = keras.Input((4,))
    model = models.Network(inputs, keras.layers.Dense(2)(inputs))
    assert (model.factory, model.arguments, model.class_names) == (None, None, None)
    assert model.stage_outputs == {}
    with pytest.raises(ValueError, match="`model` must be a network of a factory"):
        zoo.save(model, "nowhere", data_set="none", class_names=["a", "b"])


def test_a_network_around_another_does_not_claim_to_be_it():
    base = tiny()
    inputs = keras.Input(base.input_shape[1:])
    around = models.Network(inputs, base(inputs))
    assert base.factory and around.factory is None and around.arguments is None
    assert around.class_names is None and around.stage_outputs == {}


SHAPES = {
    STAAVGG: {"stage1": (16, 4), "stage2": (8, 8), "stage3": (4, 16), "stage4": (2, 32)}
    | {"stage5": (1, 32)},
    STAAResNet18: {"stem": (32, 4), "stage1": (32, 4), "stage2": (16, 8), "stage3": (8, 16)}
    | {"stage4": (4, 32)},
    STAAResNet20: {"stem": (16, 4), "stage1": (16, 4), "stage2": (8, 8), "stage3": (4, 16)}
    | {"stage4": (2, 32)},
    STAACompact: {"stage1": (15, 4), "stage2": (7, 16), "stage3": (3, 16)},
}


@pytest.mark.parametrize("create", SHAPES, ids=lambda create: create.__name__)
def test_stage_outputs(create):
    model = create(width=4, steps=2, include_top=False)
    expected = {name: (None, 2, n, n, c) for name, (n, c) in SHAPES[create].items()}
    assert {name: tensor.shape for name, tensor in model.stage_outputs.items()} == expected


def test_a_head_on_stage_outputs():
    """As detection heads do: a model of several feature maps, from one pass."""
    model = tiny(include_top=False, input_shape=(16, 16, 3))
    pyramid = keras.Model(model.inputs, model.stage_outputs)
    found = pyramid.predict(images(2), verbose=0)
    assert {name: y.shape for name, y in found.items()} == {
        "stem": (2, 1, 8, 8, 4),
        "stage": (2, 1, 4, 4, 8),
    }
    np.testing.assert_array_equal(found["stage"], model.predict(images(2), verbose=0))
    assert found["stage"].any()


@pytest.mark.heavy
def test_recomputation_is_switched_on_a_made_network():
    """Also after it was compiled and trained, as results and stored tensors show."""
    x, y = images(4), np.array([0, 1, 2, 0])
    trained = []
    for switched in (False, True):
        keras.utils.set_random_seed(0)
        model = tiny(bypass_rate=0.5, steps=2)
        model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
        model.train_on_batch(x, y)
        calls = []
        if switched:
            model.rematerialize()
            model._notes.segments[0].call = counted(model._notes.segments[0].call, calls)
        model.train_on_batch(x, y)
        assert bool(calls) is switched
        trained.append(model.get_weights())
    for a, b in zip(*trained, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    model.rematerialize(False)
    assert model.get_config()["remat"] is False
    calls.clear()
    model.train_on_batch(x, y)
    assert not calls


def counted(method, calls):
    def call(*args, **kwargs):
        calls.append(1)
        return method(*args, **kwargs)

    return call


def test_a_preset_is_opened_and_parsed_once(tmp_path, monkeypatch):
    folder, texts = saved(tmp_path / "preset"), []
    read = schema._text
    monkeypatch.setattr(schema, "_text", lambda path: texts.append(path) or read(path))
    for way in (
        lambda: zoo.load(folder),
        lambda: zoo.load(folder, classes=5),
        lambda: zoo.load(folder, weights=False),
        lambda: Tiny(weights=folder),
        lambda: zoo.describe(folder),
    ):
        texts.clear()
        way()
        assert texts == [folder / "preset.json"]
