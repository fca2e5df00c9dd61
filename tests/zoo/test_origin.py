"""Copies of networks, and networks with a head of one's own, as presets."""

import keras
import numpy as np
import pytest

from keras_staa import zoo
from keras_staa.layers import LIF
from tests.zoo.support import listing, predictions, saved, tiny, values


def read_again(model, tmp_path):
    model.save(tmp_path / "model.keras")
    return keras.models.load_model(tmp_path / "model.keras")


COPIES = {
    "a clone": lambda model, tmp_path: keras.models.clone_model(model),
    "a .keras file": read_again,
    "by its configuration": lambda model, tmp_path: type(model).from_config(model.get_config()),
}
NETWORKS = {
    "plain": {},
    "frames": {"input_shape": (2, 16, 16, 2), "steps": 2},
    "logits": {"classifier_activation": None, "normalization": [(0.4, 0.3)] * 3, "steps": 2},
    "steps": {"step_logits": True, "steps": 2, "attention": {"position": "full", "ratio": 2}},
    "no attention": {"attention": False, "neuron": {"threshold": 0.3, "reset": "soft"}},
    "a neuron layer": {"neuron": LIF(threshold=0.3, learn=True), "causal": True},
    "remat": {"remat": True},
}


@pytest.mark.parametrize(
    ("copy", "network"),
    [("a clone", name) for name in NETWORKS]
    + [("a .keras file", name) for name in ("plain", "a neuron layer", "remat")]
    + [("by its configuration", "logits")],
)
def test_a_copy_is_known_by_its_layers(copy, network, tmp_path):
    model = tiny(**NETWORKS[network])
    again = COPIES[copy](model, tmp_path)
    again.set_weights(model.get_weights())
    folder = saved(tmp_path / "preset", again)
    loaded = zoo.load(folder)
    for path, value in values(model).items():
        np.testing.assert_array_equal(values(loaded)[path], value, err_msg=path)
    np.testing.assert_allclose(predictions(loaded), predictions(model), atol=1e-6)


def test_a_copy_that_was_changed_is_not_taken_for_a_factorys(tmp_path):
    model = tiny()
    config = model.get_config()
    for layer in config["layers"]:
        if layer["class_name"] == "LIF":
            # A threshold of one neuron alone, which no argument of a factory gives.
            layer["config"]["threshold"] = 0.9
    changed = keras.Model.from_config(config)
    with pytest.raises(ValueError, match="`model` must be a network of a factory"):
        saved(tmp_path / "preset", changed)
    assert listing(tmp_path) == []


def on(base, *layers):
    inputs = keras.Input(base.input_shape[1:])
    x = base(inputs, training=False)
    for layer in layers:
        x = layer(x)
    return keras.Model(inputs, x)


def flat(base, *layers):
    x = base.output
    for layer in layers:
        x = layer(x)
    return keras.Model(base.input, x)


def sequence(base, *layers):
    return keras.Sequential([keras.Input(base.input_shape[1:]), base, *layers])


def dense(**more):
    return keras.layers.Dense(3, bias_initializer="ones", **more)


HEADS = {
    "pooled": ("avg", lambda: [dense(activation="softmax")]),
    "dropout": ("avg", lambda: [keras.layers.Dropout(0.5), dense(), keras.layers.Softmax()]),
    "logits": ("avg", lambda: [dense(use_bias=False)]),
    "steps": ("steps", lambda: [keras.layers.GlobalAveragePooling2D(), dense(activation="relu")]),
    "none": (None, lambda: [keras.layers.GlobalAveragePooling3D(), dense()]),
}


@pytest.mark.parametrize(
    ("build", "head"),
    [(on, name) for name in HEADS] + [(flat, "none"), (sequence, "pooled"), (flat, "pooled")],
)
def test_a_read_out_of_ones_own_on_a_network_without_its_top(build, head, tmp_path):
    pooling, layers = HEADS[head]
    base = tiny(include_top=False, pooling=pooling, steps=2)
    base.trainable = False
    model = build(base, *layers())
    folder = saved(tmp_path / "preset", model)
    again = zoo.load(folder)
    np.testing.assert_allclose(predictions(again), predictions(model), atol=1e-5)
    counted = sum(int(np.prod(w.shape)) for w in again.trainable_weights)
    assert zoo.describe(folder)["parameters"] == counted


def test_such_a_network_from_a_file(tmp_path):
    model = on(tiny(include_top=False, pooling="avg"), dense(activation="softmax"))
    folder = saved(tmp_path / "preset", read_again(model, tmp_path))
    np.testing.assert_allclose(predictions(zoo.load(folder)), predictions(model), atol=1e-5)


@pytest.mark.parametrize(
    "layers",
    [
        lambda: [dense(), dense()],
        lambda: [dense(), keras.layers.Softmax(axis=0)],
        lambda: [keras.layers.Dense(3), keras.layers.Dropout(0.1), keras.layers.Dense(3)],
        lambda: [],
    ],
)
def test_another_head_is_refused_with_what_to_do(layers, tmp_path):
    model = on(tiny(include_top=False, pooling="avg"), *layers())
    with pytest.raises(ValueError) as error:
        saved(tmp_path / "preset", model)
    for part in ("`model` must", "Dense", "model.save('name.keras')"):
        assert part in str(error.value)
    assert listing(tmp_path) == []
    with pytest.raises(ValueError, match="mean over steps and space"):
        saved(tmp_path / "preset", on(tiny(include_top=False, pooling="max"), dense()))
