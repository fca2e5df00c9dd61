"""Every published preset is whole, is what its name and description say, and answers."""

import functools
import hashlib
import json
import pathlib
import re

import keras
import numpy as np
import pytest

import keras_staa
from keras_staa import presets, zoo

NAME = re.compile(
    r"(?P<architecture>[a-z0-9]+)(?P<plain>_lif)?_w(?P<width>\d+)_t(?P<steps>\d+)\.(?P<data>\w+)"
)
# What a small download may be: the alias is what examples and first steps load.
CIFAR10_BYTES = 6_000_000

every_preset = pytest.mark.parametrize("name", zoo.list_models())


@functools.cache
def loaded(name):
    """Each network is built once: that is most of the time."""
    return zoo.load(name)


def pictures(shape):
    """Noise and slopes: no picture of a data set is needed to see that a network answers."""
    rng = np.random.default_rng(0)
    *steps, h, w, c = shape
    slopes = np.stack([np.linspace(0, 1, h)[:, None] * np.ones((h, w)), np.eye(h, w)])
    slopes = np.concatenate([slopes, 1 - slopes])[..., None] * np.linspace(0.2, 1, c)
    x = np.concatenate([rng.random((4, h, w, c)), slopes]).astype("float32")
    return np.broadcast_to(x[:, None], (8, *steps, h, w, c)) if steps else x


def test_there_are_presets():
    assert zoo.list_models() == sorted(set(zoo.list_models()))
    assert zoo.list_models()


def test_aliases_stand_for_presets():
    aliases = presets.aliases()
    assert aliases["cifar10"] in zoo.list_models()
    for alias, name in aliases.items():
        assert name in zoo.list_models()
        assert alias not in zoo.list_models()
        assert zoo.describe(alias) == zoo.describe(name)


def test_cifar10_is_a_small_file():
    folder = presets.find("cifar10")
    assert (folder / "model.weights.h5").stat().st_size <= CIFAR10_BYTES
    assert zoo.describe("cifar10")["data_set"] == "cifar10"


@every_preset
def test_the_name_says_what_it_is(name):
    known = zoo.describe(name)
    parts = NAME.fullmatch(name)
    assert parts, name
    assert known["name"] == name
    assert known["architecture"].lower() == f"staa{parts['architecture']}"
    assert (known["arguments"]["attention"] is False) == bool(parts["plain"])
    assert known["arguments"]["width"] == int(parts["width"])
    assert known["steps"] == int(parts["steps"])
    assert known["data_set"].replace("-", "_").lower() == parts["data"]


@every_preset
def test_the_description_fits_the_files(name):
    folder = pathlib.Path(presets.find(name))
    known = json.loads((folder / "preset.json").read_text("utf-8"))
    file = (folder / "model.weights.h5").read_bytes()
    assert known["sha256"] == hashlib.sha256(file).hexdigest()
    assert known["bytes"] == len(file)
    assert len(known["class_names"]) == len(set(known["class_names"])) == known["classes"]
    assert known["arguments"]["classes"] == known["classes"]
    assert name in (folder / "card.md").read_text("utf-8")
    lines = (folder / "history.csv").read_text("utf-8").splitlines()
    assert lines[0].startswith("epoch,")
    assert len(lines) > 1
    runs = [known["training"], known["training"].get("start", {})]
    # A run by a recipe may have stages, and says how many epochs they have together.
    epochs = [run.get("epochs", run.get("reported_epoch", 0)) for run in runs]
    assert sum(epochs) == len(lines) - 1


@every_preset
def test_it_has_the_parameters_that_it_states(name):
    model = loaded(name)
    known = zoo.describe(name)
    for layer in keras_staa.layers.flatten_layers(model):
        layer.trainable = True  # The whitening of a STAACompact counts, which is not trained.
    assert known["parameters"] == sum(int(np.prod(w.shape)) for w in model.trainable_weights)
    assert model.output_shape == (None, known["classes"])
    moving = [w for w in model.weights if w.name in ("moving_mean", "moving_variance")]
    assert moving
    start = [np.ptp(keras.ops.convert_to_numpy(w)) == 0 for w in moving]
    assert not any(start), "moving statistics of an untrained network"


@every_preset
def test_it_answers(name):
    model = loaded(name)
    y = model.predict(pictures(model.input_shape[1:]), verbose=0)
    assert y.shape == (8, zoo.describe(name)["classes"])
    assert np.isfinite(y).all()
    np.testing.assert_allclose(y.sum(axis=1), 1.0, atol=1e-5)
    assert y.min() >= 0
    assert len(np.unique(y.round(6), axis=0)) == 8, "some pictures get the same answer"
    # A trained read-out is surer than the uniform answer of a silent network.
    assert y.max() > 2 / y.shape[1]
