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
from tests.zoo.old_presets import inputs

FILES = sorted((pathlib.Path(__file__).parent / "forever").glob("*/*.zip"))
KERAS_FILES = sorted((pathlib.Path(__file__).parent / "forever").glob("*/*.keras"))
AGAIN = {"data_set": "none", "class_names": ["a", "b", "c"], "dtype": "float32"}
NAMES = [f"{path.parent.name}-{path.stem}" for path in FILES]


def test_those_of_every_version_are_here():
    assert {"0.1-images", "0.1-frames", "0.1-plain", "0.1-other_neuron"} <= set(NAMES)
    assert {"frames.keras", "other_neuron.keras"} <= {path.name for path in KERAS_FILES}


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
