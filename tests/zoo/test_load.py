"""A preset is read as it was written or not at all; what may differ from it, and what is known."""

import hashlib
import json
import pathlib
import re
import shutil

import keras
import numpy as np
import pytest

from keras_staa import STAAVGG, models, presets, zoo
from tests.zoo.support import CLASSES, images, predictions, saved, tiny, values


@pytest.fixture(scope="module")
def model():
    return tiny(steps=2)


@pytest.fixture(scope="module")
def preset(model, tmp_path_factory):
    return saved(tmp_path_factory.mktemp("presets") / "tiny_w4_t2.noise", model)


@pytest.fixture
def copy(preset, tmp_path):
    """A copy to damage."""
    return shutil.copytree(preset, tmp_path / preset.name)


def _flip(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def _truncate(file):
    file.write_bytes(file.read_bytes()[:-1])


def _another(file):
    # A whole weight file of the same shapes, which only the sha256 tells from the right one.
    other = saved(file.parent.parent / "other", tiny(seed=9, steps=2))
    shutil.copyfile(other / file.name, file)


DAMAGES = [_flip, _truncate, _another, lambda file: file.write_bytes(b"")]


def load_all(folder):
    """Each way of loading that reads the weights."""
    for arguments in ({}, {"classes": 5}, {"include_top": False}):
        yield lambda arguments=arguments: zoo.load(folder, **arguments)


@pytest.mark.parametrize("damage", DAMAGES, ids=["flipped", "short", "another", "empty"])
def test_damaged_weights_are_never_used(damage, copy, preset):
    file = copy / "model.weights.h5"
    expected = hashlib.sha256(file.read_bytes()).hexdigest()
    damage(file)
    for load in load_all(copy):
        with pytest.raises(ValueError) as error:
            load()
        for part in (str(file), f"expected {(preset / file.name).stat().st_size} bytes", expected):
            assert part in str(error.value)
        assert hashlib.sha256(file.read_bytes()).hexdigest() in str(error.value)
        assert "Copy the folder again" in str(error.value)


def test_missing_weights(copy):
    file = copy / "model.weights.h5"
    expected = hashlib.sha256(file.read_bytes()).hexdigest()
    file.unlink()
    for load in load_all(copy):
        with pytest.raises(FileNotFoundError) as error:
            load()
        for part in (str(file), "missing", expected, "Copy the folder again"):
            assert part in str(error.value)


def _with(**changes):
    return lambda text: json.dumps({**json.loads(text), **changes})


def _without(name):
    return lambda text: json.dumps({k: v for k, v in json.loads(text).items() if k != name})


DESCRIPTIONS = {
    "cut short": lambda text: text[: len(text) // 2],
    "empty": lambda text: "",
    "not an object": lambda text: "[]",
    "no sha256": _without("sha256"),
    "no architecture": _without("architecture"),
    "no licence": _without("licence"),
    "a field more": _with(colour="red"),
    "another format": _with(format=3),
    "no classes": _with(classes=0),
    "a short sha256": _with(sha256="abc"),
    "accuracy in percent": _with(
        accuracy={"value": 93.1, "split": "test", "images": 9, "measured": ""}
    ),
}


@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_a_damaged_description(name, copy):
    file = copy / "preset.json"
    file.write_text(DESCRIPTIONS[name](file.read_text("utf-8")), "utf-8")
    for read in (zoo.describe, zoo.load, lambda folder: zoo.load(folder, weights=False)):
        with pytest.raises(ValueError) as error:
            read(copy)
        assert str(file) in str(error.value)
        assert "Copy the folder again" in str(error.value)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"architecture": "ResNet50"}, "'ResNet50'"),
        ({"arguments": {"width": 4, "colour": "red"}}, "colour"),
    ],
    ids=["architecture", "argument"],
)
def test_a_description_of_what_this_library_cannot_build(change, part, copy):
    file = copy / "preset.json"
    file.write_text(_with(**change)(file.read_text("utf-8")), "utf-8")
    with pytest.raises(ValueError, match=part):
        zoo.load(copy)


@pytest.mark.parametrize("read", [zoo.load, zoo.describe])
@pytest.mark.parametrize("name", ["resnet50", "", "nowhere/at_all"])
def test_an_unknown_name(read, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError) as error:
        read(name)
    assert zoo.list_models()
    for part in (*zoo.list_models(), "cifar10", "preset.json", f"Received: {name!r}"):
        assert part in str(error.value)


def test_a_folder_that_is_no_preset(tmp_path):
    with pytest.raises(ValueError, match=re.escape(str(tmp_path))):
        zoo.load(tmp_path)


@pytest.mark.parametrize("kind", [str, lambda folder: folder])
def test_the_folder_may_be_a_string_or_a_path(kind, preset, model):
    np.testing.assert_array_equal(
        predictions(zoo.load(kind(preset))), predictions(zoo.load(preset))
    )
    np.testing.assert_allclose(predictions(zoo.load(kind(preset))), predictions(model), atol=1e-6)


def test_it_is_an_ordinary_model_not_compiled(preset):
    loaded = zoo.load(preset)
    assert isinstance(loaded, models.Network) and isinstance(loaded, keras.Model)
    assert not loaded.compiled
    assert loaded.input_shape == (None, 16, 16, 3)
    assert loaded.output_shape == (None, 3)


def test_other_classes_get_a_fresh_read_out_on_the_same_features(preset, model):
    keras.utils.set_random_seed(1)
    five, again = zoo.load(preset, classes=5), zoo.load(preset, classes=5)
    assert five.output_shape == (None, 5)
    kernel, bias = five.get_layer("predictions").get_weights()
    assert kernel.shape == (8, 5)
    assert np.std(kernel) > 0.05
    assert not bias.any()
    assert not np.array_equal(kernel, again.get_layer("predictions").get_weights()[0])
    ours = values(five)
    for path, value in values(model).items():
        if not path.startswith("predictions/"):
            np.testing.assert_array_equal(ours[path], value, err_msg=path)
    # The read-out sees what the preset's read-out sees.
    pooled = [
        keras.Model(m.input, m.get_layer("predictions").input).predict(images(), verbose=0)
        for m in (five, model)
    ]
    assert np.ptp(pooled[1], axis=0).max() > 0.01
    np.testing.assert_allclose(*pooled, atol=1e-6)


def test_the_presets_own_number_of_classes_keeps_its_read_out(preset, model):
    same = zoo.load(preset, classes=len(CLASSES))
    np.testing.assert_allclose(predictions(same), predictions(model), atol=1e-6)


def test_without_the_top_it_ends_in_the_presets_features(preset, model):
    features = zoo.load(preset, include_top=False)
    assert features.output_shape == (None, 2, 4, 4, 8)
    inner = keras.Model(model.input, model.get_layer("stage_neuron").output)
    expected = inner.predict(images(), verbose=0)
    assert set(np.unique(expected)) == {0.0, 1.0}
    np.testing.assert_array_equal(features.predict(images(), verbose=0), expected)


def test_without_weights_they_are_random(copy, model):
    (copy / "model.weights.h5").unlink()
    keras.utils.set_random_seed(3)
    first, second = zoo.load(copy, weights=False), zoo.load(copy, weights=False)
    keras.utils.set_random_seed(3)
    third = zoo.load(copy, weights=False)
    kernels = [values(m)["stem_conv/kernel"] for m in (model, first, second, third)]
    assert [k.shape for k in kernels] == [(3, 3, 3, 4)] * 4
    assert not np.array_equal(kernels[0], kernels[1])
    assert not np.array_equal(kernels[1], kernels[2])
    np.testing.assert_array_equal(kernels[1], kernels[3])
    assert first.output_shape == (None, 3)


@pytest.mark.parametrize(
    "arguments", [{"classes": 0}, {"classes": 2.0}, {"include_top": 1}, {"weights": "yes"}]
)
def test_bad_arguments(arguments, preset):
    (name,) = arguments
    with pytest.raises(ValueError, match=f"`{name}` must be"):
        zoo.load(preset, **arguments)


def test_describe(preset, model):
    known = zoo.describe(preset)
    assert isinstance(known, dict)
    assert known == zoo.describe(str(preset))
    for name in (
        *("name", "architecture", "arguments", "data_set", "classes", "class_names", "steps"),
        *("parameters", "accuracy", "training", "licence", "sha256", "bytes"),
    ):
        assert name in known
    assert (known["name"], known["classes"], known["steps"]) == (preset.name, 3, 2)
    assert known["class_names"] == list(CLASSES)
    assert known["accuracy"] is None
    assert known == json.loads((preset / "preset.json").read_text("utf-8"))


@pytest.mark.parametrize(
    ("arguments", "shape"),
    [
        ({"steps": 3, "include_top": False}, (None, 3, 4, 4, 8)),
        ({"input_shape": (24, 16, 3), "include_top": False}, (None, 2, 6, 4, 8)),
        ({"include_top": False, "pooling": "avg"}, (None, 8)),
        ({"include_top": False, "pooling": "steps"}, (None, 4, 4, 8)),
        ({"input_tensor": keras.Input((16, 16, 3)), "classes": 7}, (None, 7)),
        ({"step_logits": True}, (None, 2, 3)),
        ({"weights": False, "input_shape": (3, 16, 16, 3), "step_logits": True}, (None, 3, 3)),
    ],
    ids=str,
)
def test_it_takes_what_the_factory_takes(arguments, shape, preset, model):
    loaded = zoo.load(preset, **arguments)
    assert loaded.output_shape == shape
    if arguments.get("weights", True):
        kernels = [values(m)["stage_conv/stage_conv/kernel"] for m in (loaded, model)]
        np.testing.assert_array_equal(*kernels)


def test_name_and_activation(preset, model):
    named = zoo.load(preset, name="mine", classifier_activation=None)
    assert named.name == "mine"
    logits = named.predict(images(), verbose=0)
    e = np.exp(logits - logits.max(axis=-1, keepdims=True))
    np.testing.assert_allclose(e / e.sum(-1, keepdims=True), predictions(model), atol=1e-6)


def test_dtype_is_of_this_network_alone(preset, model):
    before = keras.config.dtype_policy().name
    half = zoo.load(preset, dtype="mixed_bfloat16")
    # The first convolution computes in float32.
    assert half.get_layer("stem_conv").compute_dtype == "float32"
    assert half.get_layer("stage_neuron").compute_dtype == "bfloat16"
    assert keras.config.dtype_policy().name == before
    with pytest.raises((ValueError, TypeError)):
        zoo.load(preset, dtype="no_dtype")
    assert keras.config.dtype_policy().name == before
    assert zoo.load(preset).get_layer("stage_neuron").compute_dtype == "float32"


def test_features_without_steps_are_the_mean_over_them(preset):
    whole = zoo.load(preset, include_top=False).predict(images(), verbose=0)
    mean = zoo.load(preset, include_top=False, pooling="steps").predict(images(), verbose=0)
    assert np.ptp(whole, axis=1).max() == 1.0
    np.testing.assert_allclose(mean, whole.mean(axis=1), atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "kind", "part"),
    [
        ({"colour": "red"}, TypeError, "colour"),
        ({"width": 8}, ValueError, "`width` must be 4"),
        ({"steps": 0}, ValueError, "`steps` must be a positive integer"),
        ({"pooling": "min"}, ValueError, "`pooling` must be one of"),
        ({"input_shape": (16, 16, 1)}, ValueError, "`input_shape` must have 3 channels"),
        ({"weights": False, "input_shape": (16, 16, 1)}, ValueError, "must have 3 channels"),
    ],
    ids=str,
)
def test_arguments_that_do_not_fit_are_the_callers_fault(arguments, kind, part, preset):
    with pytest.raises(kind, match=part) as error:
        zoo.load(preset, **arguments)
    assert "preset.json" not in str(error.value)


def test_a_name_of_this_library_and_a_folder(preset, tmp_path, monkeypatch):
    """Neither is taken for the other: the path of each says which one is meant."""
    shutil.copytree(preset, tmp_path / "cifar10")
    monkeypatch.chdir(tmp_path)
    ours = presets.root() / presets.aliases()["cifar10"]
    for read in (zoo.load, zoo.describe, lambda name: STAAVGG(weights=name)):
        with pytest.raises(ValueError) as error:
            read("cifar10")
        assert str(ours) in str(error.value)
        assert str(tmp_path / "cifar10") in str(error.value)
    for own in ("./cifar10", tmp_path / "cifar10", pathlib.Path("cifar10")):
        assert zoo.describe(own)["data_set"] == "noise"
    assert zoo.describe(str(ours))["data_set"] == "cifar10"
    (tmp_path / "cifar10" / "preset.json").unlink()
    assert zoo.describe("cifar10")["data_set"] == "cifar10"


def test_in_the_folder_of_the_presets_a_name_is_one_preset(monkeypatch):
    monkeypatch.chdir(presets.root())
    assert zoo.describe(presets.aliases()["cifar10"])["data_set"] == "cifar10"


@pytest.mark.parametrize("nothing", [None, 5, b"cifar10", ["cifar10"], "x" * 5000, "a\0b"])
@pytest.mark.parametrize("read", [zoo.load, zoo.describe])
def test_no_name_and_no_path(read, nothing):
    with pytest.raises(ValueError, match="A preset must be"):
        read(nothing)
