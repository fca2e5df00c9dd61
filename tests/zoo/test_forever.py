"""Presets and `.keras` files of every version load, and predict what they predicted then.

`tests/zoo/old_presets.py` made them. One that does not load any more is a fault of the library: it
must not be made again.
"""

import json
import pathlib
import zipfile

import keras
import numpy as np
import pytest

from keras_staa import zoo
from keras_staa.layers import MeanStepAttention, StepAttention
from tests.zoo.old_presets import inputs

FILES = sorted((pathlib.Path(__file__).parent / "forever").glob("*/*.zip"))
KERAS_FILES = sorted((pathlib.Path(__file__).parent / "forever").glob("*/*.keras"))
AGAIN = {"data_set": "none", "class_names": ["a", "b", "c"], "dtype": "float32"}
NAMES = [f"{path.parent.name}-{path.stem}" for path in FILES]


def test_those_of_every_version_are_here():
    assert {"0.1-images", "0.1-frames", "0.1-plain", "0.1-other_neuron"} <= set(NAMES)
    # Those of presets of format 2, whose step attention has its present form.
    assert {"format2-images", "format2-frames", "format2-plain"} <= set(NAMES)
    files = {f"{path.parent.name}/{path.name}" for path in KERAS_FILES}
    assert {
        f"{v}/{n}.keras" for v in ("0.1", "format2") for n in ("frames", "other_neuron")
    } <= files


@pytest.mark.parametrize(
    ("version", "form"), [("0.1", MeanStepAttention), ("format2", StepAttention)]
)
def test_each_has_the_step_attention_of_its_time(version, form, tmp_path):
    folder = pathlib.Path(__file__).parent / "forever" / version
    with zipfile.ZipFile(folder / "frames.zip") as archive:
        archive.extractall(tmp_path)
    for model in (zoo.load(tmp_path / "frames"), keras.saving.load_model(folder / "frames.keras")):
        found = {
            type(layer.staa.step_attention) for layer in model.layers if hasattr(layer, "staa")
        }
        assert found == {form}
    causal = zoo.load(tmp_path / "frames", causal=True)
    layers = [layer.staa.step_attention for layer in causal.layers if hasattr(layer, "staa")]
    assert {type(layer) for layer in layers} == {form} and all(layer.causal for layer in layers)


def check(model, path):
    expected = np.array(json.loads(path.with_suffix(".predictions.json").read_text("utf-8")))
    found = model.predict(inputs(model.input_shape[1:]), verbose=0)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_a_preset(path, tmp_path):
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path)
    model = zoo.load(tmp_path / path.stem)
    check(model, path)
    assert model.class_names == ["a", "b", "c"]
    # What is saved today from it is the same again.
    check(zoo.load(zoo.save(model, tmp_path / "again", **AGAIN)), path)


@pytest.mark.parametrize("path", KERAS_FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_keras_file(path):
    check(keras.saving.load_model(path), path)
