"""A saved network is the same network again, what is said of it is true, or nothing is written."""

import hashlib
import json
import time

import h5py
import keras
import numpy as np
import pytest

from keras_staa import models, zoo
from keras_staa.layers import LIF
from keras_staa.surrogates import Triangular
from tests.zoo.support import CLASSES, images, listing, predictions, saved, tiny, values

FILES = ["card.md", "model.weights.h5", "preset.json"]


def stored(folder):
    """Every array of a weight file, by its path."""
    found = {}

    def note(name, item):
        if isinstance(item, h5py.Dataset):
            found[name] = item[()]

    with h5py.File(folder / "model.weights.h5") as file:
        file.visititems(note)
    return found


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("float16", 5e-3)])
def test_loaded_it_answers_the_same(dtype, tolerance, tmp_path):
    model = tiny()
    folder = saved(tmp_path / "preset", model, dtype=dtype)
    assert folder == tmp_path / "preset"
    again = zoo.load(folder)
    np.testing.assert_allclose(predictions(again), predictions(model), atol=tolerance)
    for path, value in values(model).items():
        expected = value.astype(dtype).astype("float32")
        np.testing.assert_array_equal(values(again)[path], expected, err_msg=path)
    assert all(w.dtype == "float32" for w in again.weights)


@pytest.mark.heavy
def test_a_network_of_the_paper_loaded_answers_the_same(tmp_path):
    model = tiny(create=models.STAAResNet19, input_shape=(16, 16, 3), neuron={"threshold": 0.2})
    zoo.save(model, tmp_path / "preset", data_set="noise", class_names=list(CLASSES))
    again = zoo.load(str(tmp_path / "preset"))
    assert again.name == "STAAResNet19"
    for path, value in values(model).items():
        rounded = value.astype("float16").astype("float32")
        np.testing.assert_array_equal(values(again)[path], rounded, err_msg=path)
    predictions(again)


def test_the_files(tmp_path):
    (tmp_path / "log.csv").write_text("epoch,loss\n0,1.5\n")
    plain = saved(tmp_path / "plain")
    full = saved(tmp_path / "full", history=tmp_path / "log.csv")
    assert listing(plain) == FILES
    assert listing(full) == sorted([*FILES, "history.csv"])
    assert (full / "history.csv").read_text() == "epoch,loss\n0,1.5\n"
    assert listing(tmp_path) == sorted(
        ["plain", "full", "log.csv"]
        + [f"plain/{name}" for name in FILES]
        + [f"full/{name}" for name in [*FILES, "history.csv"]]
    )


def test_the_description_is_true(tmp_path):
    model = tiny(classes=2, steps=3)
    accuracy = {"value": 0.75, "split": "test", "images": 40, "measured": "python measure.py"}
    folder = saved(
        tmp_path / "new" / "vgg_w4_t3.pets",
        model,
        data_set="pets",
        class_names=["cat", "dog"],
        accuracy=accuracy,
        training={"seed": 7},
        licence="MIT",
        text="Made in *an afternoon*.",
        dtype="float16",
    )
    preset = json.loads((folder / "preset.json").read_text("utf-8"))
    file = (folder / "model.weights.h5").read_bytes()
    expected = {
        "name": "vgg_w4_t3.pets",
        "architecture": "Tiny",
        "data_set": "pets",
        "classes": 2,
        "class_names": ["cat", "dog"],
        "steps": 3,
        "accuracy": accuracy,
        "training": {"seed": 7},
        "licence": "MIT",
        "sha256": hashlib.sha256(file).hexdigest(),
        "bytes": len(file),
        "weights_dtype": "float16",
        "keras_version": keras.__version__,
    }
    assert {name: preset[name] for name in expected} == expected
    moving = sum(v.size for path, v in values(model).items() if "moving_" in path)
    # Mean and variance of two normalizations, of 4 and 8 channels.
    assert moving == 2 * 4 + 2 * 8
    assert preset["parameters"] == sum(v.size for v in values(model).values()) - moving
    arguments = preset["arguments"]
    assert (arguments["classes"], arguments["steps"], arguments["width"]) == (2, 3, 4)
    assert not {"weights", "name", "input_tensor"} & set(arguments)
    card = (folder / "card.md").read_text("utf-8")
    for part in ("vgg_w4_t3.pets", "75.00%", "python measure.py", "seed: 7", "MIT", "*an after"):
        assert part in card


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_the_weights_are_stored_as_the_dtype(dtype, tmp_path):
    model = tiny()
    found = stored(saved(tmp_path / "preset", model, dtype=dtype))
    assert {v.dtype for v in found.values()} == {np.dtype(dtype)}
    ours = sorted(v.astype(dtype).tobytes() for v in values(model).values())
    assert sorted(v.tobytes() for v in found.values()) == ours


def test_the_same_weights_make_the_same_file(tmp_path):
    model = tiny()
    saved(tmp_path / "first", model)
    # A file that holds times, which HDF5 counts in seconds, would differ from now on.
    time.sleep(1.1)
    saved(tmp_path / "second", model)
    first, second = (zoo.describe(tmp_path / name)["sha256"] for name in ("first", "second"))
    assert first == second
    assert zoo.describe(saved(tmp_path / "third", tiny(seed=5)))["sha256"] != first


def test_an_existing_folder_is_left_alone(tmp_path):
    folder = saved(tmp_path / "preset")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(ValueError, match="`folder` must not exist yet.*preset"):
        saved(folder, tiny(seed=5))
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    assert listing(tmp_path) == ["preset", *(f"preset/{name}" for name in FILES)]


REJECTED = {
    "class names": (tiny, {"class_names": ["cat", "dog"]}, "`class_names` must .* 3 classes"),
    "dtype": (tiny, {"dtype": "float64"}, "`dtype` must be one of .*'float64'"),
    "accuracy": (tiny, {"accuracy": {"value": 97.0, "split": "test"}}, "accuracy"),
    "no read-out": (lambda: tiny(include_top=False), {}, "include_top=True"),
    "another model": (
        lambda: keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]),
        {},
        "`model` must be a network of a factory",
    ),
}


@pytest.mark.parametrize("name", REJECTED)
def test_what_does_not_fit_is_rejected_and_nothing_written(name, tmp_path):
    make, more, message = REJECTED[name]
    with pytest.raises(ValueError, match=message):
        saved(tmp_path / "preset", make(), **more)
    assert listing(tmp_path) == []


@pytest.mark.parametrize("broken", ["_card", "write_weights", "parameters"])
def test_a_failure_leaves_nothing(broken, tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(zoo.saving, broken, fail)
    with pytest.raises(RuntimeError, match="disk is full"):
        saved(tmp_path / "preset")
    assert listing(tmp_path) == []


def test_a_missing_history_leaves_nothing(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.csv"):
        saved(tmp_path / "preset", history=tmp_path / "nowhere.csv")
    assert listing(tmp_path) == []


def test_a_weight_too_large_for_float16(tmp_path):
    model = tiny()
    kernel = next(w for w in model.weights if w.path == "stem_conv/kernel")
    value = np.array(keras.ops.convert_to_numpy(kernel))
    value[0, 0, 0, 0] = 7e4
    kernel.assign(value)
    with pytest.raises(ValueError, match="Weight .*conv2d.* float16 cannot hold.*float32"):
        saved(tmp_path / "preset", model, dtype="float16")
    assert listing(tmp_path) == []
    saved(tmp_path / "preset", model, dtype="float32")
    assert values(zoo.load(tmp_path / "preset"))["stem_conv/kernel"][0, 0, 0, 0] == 7e4


SPECIAL = {
    "neuron layer": {"neuron": LIF(decay=0.5, threshold=0.3, reset="soft")},
    "neuron activation": {"neuron": "relu", "attention": False},
    "neuron dictionary": {"neuron": {"threshold": 0.3, "reset": "soft", "learn": False}},
    "surrogate object": {"neuron": {"threshold": 0.3, "surrogate": Triangular(width=2.0)}},
    "attention dictionary": {"attention": {"position": "full", "step_gate": "causal"}},
    "no attention": {"attention": False},
    "normalization": {"normalization": [(0.5, 0.25), (0.4, 0.2), (0.3, 0.5)]},
    "normalization array": {"normalization": np.array([(0.5, 0.25), (0.4, 0.2), (0.3, 0.5)])},
    "activation function": {"classifier_activation": keras.activations.sigmoid},
    "input tensor": {"input_tensor": keras.Input((20, 24, 3))},
}


@pytest.mark.parametrize("name", SPECIAL)
def test_arguments_survive(name, tmp_path):
    model = tiny(**SPECIAL[name])
    again = zoo.load(saved(tmp_path / "preset", model))
    assert again.input_shape == model.input_shape
    np.testing.assert_allclose(predictions(again), predictions(model), atol=1e-6)
    for kind in ("stem_neuron", "stage_neuron"):
        own, other = model.get_layer(kind), again.get_layer(kind)
        assert type(own) is type(other)
        assert own.get_config() == other.get_config()


def test_the_older_name_of_the_step_gate(tmp_path):
    model = tiny(attention={"step_gate": False})
    folder = saved(tmp_path / "preset", model)
    text = (folder / "preset.json").read_text("utf-8")
    assert '"step_gate": false' in text
    (folder / "preset.json").write_text(text.replace("step_gate", "steps"), "utf-8")
    for attention in ({}, {"attention": {"steps": False}}, {"attention": {"step_gate": False}}):
        again = zoo.load(folder, **attention)
        assert dict(again.arguments)["attention"] == {"step_gate": False}
        np.testing.assert_allclose(predictions(again), predictions(model), atol=1e-6)


def test_a_loaded_network_can_be_saved_again(tmp_path):
    first = saved(tmp_path / "first")
    tuned = zoo.load(first, classes=2)
    second = saved(tmp_path / "second", tuned, class_names=["cat", "other"])
    again = zoo.load(second)
    x = images()
    np.testing.assert_allclose(predictions(again, x), predictions(tuned, x), atol=1e-6)


def test_frames_set_the_steps(tmp_path):
    model = tiny(input_shape=(2, 16, 16, 2), steps=4)
    preset = json.loads((saved(tmp_path / "preset", model) / "preset.json").read_text("utf-8"))
    assert preset["steps"] == 2
    assert zoo.load(tmp_path / "preset").input_shape == (None, 2, 16, 16, 2)


def test_the_state_of_an_optimizer_is_no_part_of_a_preset(tmp_path):
    model = tiny()
    plain = saved(tmp_path / "plain", model) / "model.weights.h5"
    model.compile(keras.optimizers.SGD(0.0, momentum=0.9), "sparse_categorical_crossentropy")
    model.train_on_batch(images(), np.zeros(6))
    with h5py.File(saved(tmp_path / "compiled", model) / "model.weights.h5") as file:
        assert "layers" in file and "optimizer" not in file
        assert sorted(file) == sorted(h5py.File(plain))


def test_a_frozen_network_has_the_parameters_that_it_has(tmp_path):
    model = tiny()
    model.trainable = False
    frozen = zoo.describe(saved(tmp_path / "preset", model))["parameters"]
    assert frozen == zoo.describe(saved(tmp_path / "other", tiny()))["parameters"] > 0
    zoo.load(tmp_path / "preset")


@pytest.mark.parametrize("name", ["cifar10", "vgg_w32_t2.cifar10"])
def test_a_name_of_this_library_is_refused(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="must not be the name of a preset of this library"):
        saved(name)
    assert listing(tmp_path) == []
    saved(f"./runs/{name}")
    assert zoo.load(f"runs/{name}").output_shape == (None, 3)
