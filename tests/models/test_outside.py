"""A network of a user: `@register` is all it takes."""

import inspect
import json
import sys

import keras
import numpy as np
import pytest

from keras_staa import checks, cli, zoo
from keras_staa.models import FACTORIES, Argument, register
from tests.outside import Chain
from tests.zoo.support import CLASSES, images, predictions, randomise, saved

ARGUMENTS = {"depth": 3, "width": 8, "classes": 3, "steps": 2, "neuron": {"threshold": 0.1}}


@pytest.fixture(autouse=True)
def known(monkeypatch):
    monkeypatch.setitem(FACTORIES, "Chain", Chain)


@pytest.fixture
def model():
    return randomise(Chain(**ARGUMENTS))


@pytest.fixture
def preset(tmp_path, model):
    return saved(tmp_path / "chain", model)


def test_its_argument_is_in_signature_and_documentation():
    parameter = inspect.signature(Chain).parameters["depth"]
    assert (parameter.default, parameter.kind) == (2, inspect.Parameter.KEYWORD_ONLY)
    assert "    depth: number of convolutions behind the stem." in Chain.__doc__
    assert list(Chain(depth=4).stage_outputs) == ["stem", "stage1", "stage2", "stage3", "stage4"]
    with pytest.raises(ValueError, match="`depth` must be a positive integer. Received: depth=0"):
        Chain(depth=0)
    with pytest.raises(TypeError, match="height"):
        Chain(height=3)


@pytest.mark.heavy
def test_presets(preset, model):
    expected = predictions(model)
    assert json.loads((preset / "preset.json").read_text("utf-8"))["arguments"]["depth"] == 3
    for loaded in (zoo.load(preset), Chain(weights=str(preset)), Chain(weights=preset, depth=3)):
        np.testing.assert_allclose(predictions(loaded), expected, atol=1e-6)
    with pytest.raises(ValueError, match="`depth` must be 3, as in preset 'chain'"):
        Chain(weights=preset, depth=2)
    longer = Chain(weights=preset, steps=3, classes=5, input_shape=(24, 24, 3))
    np.testing.assert_array_equal(
        longer.get_layer("stage3_conv").layer.kernel, model.get_layer("stage3_conv").layer.kernel
    )
    assert longer.output_shape == (None, 5)


def test_weight_files(tmp_path, model):
    model.save_weights(tmp_path / "a.weights.h5")
    again = Chain(weights=tmp_path / "a.weights.h5", **ARGUMENTS)
    np.testing.assert_allclose(predictions(again), predictions(model), atol=1e-6)


@pytest.mark.heavy
def test_keras_files(tmp_path, model):
    model.save(tmp_path / "a.keras")
    again = keras.models.load_model(tmp_path / "a.keras")
    assert (again.factory, again.arguments["depth"]) == ("Chain", 3)
    folder = saved(tmp_path / "chain", again)
    np.testing.assert_allclose(predictions(zoo.load(folder)), predictions(model), atol=1e-6)


def test_the_command_line(preset, tmp_path, capsys, monkeypatch):
    from PIL import Image

    Image.fromarray((255 * images(1)[0]).astype("uint8")).save(tmp_path / "x.png")
    command = ["predict", str(tmp_path / "x.png"), "--model", str(preset), "--top", "1"]
    monkeypatch.delitem(FACTORIES, "Chain")
    assert cli.main(command) == 1
    assert "import the module" in capsys.readouterr().err
    # A process that has not imported it yet.
    monkeypatch.delitem(sys.modules, "tests.outside")
    text = "from keras_staa.models import FACTORIES\nfrom tests.outside import Chain\n"
    (tmp_path / "my_networks.py").write_text(f"{text}FACTORIES['Chain'] = Chain\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert cli.main([*command, "--import", "my_networks"]) == 0
    printed = capsys.readouterr().out
    assert any(name in printed for name in CLASSES)
    assert cli.main(["describe", str(preset)]) == 0
    assert "Chain for noise" in capsys.readouterr().out
    assert cli.main([*command, "--import", "tests.nowhere"]) == 1
    assert "tests.nowhere" in capsys.readouterr().err


def test_what_cannot_be_registered():
    def Chain(x, arguments):
        return {"all": [x]}

    with pytest.raises(ValueError, match="'Chain' is registered already, by tests.outside"):
        register(input_shape=(8, 8, 1), width=1, source="none")(Chain)
    more = {"text": "of all", "check": checks.positive_int, "in_presets": "fixed"}
    with pytest.raises(ValueError, match="must not repeat arguments .*: .'steps'"):
        register(
            input_shape=(8, 8, 1),
            width=1,
            source="none",
            arguments=[Argument(name="steps", default=1, **more)],
        )(Chain)


@pytest.mark.parametrize("left_out", ["name", "default", "text", "check", "in_presets"])
def test_nothing_of_an_argument_can_be_left_out(left_out):
    known = {
        "name": "depth",
        "default": 2,
        "text": "number of blocks.",
        "check": checks.positive_int,
        "in_presets": "fixed",
    }
    assert Argument(**known).keyword_only
    with pytest.raises(ValueError, match="`in_presets` must be one of"):
        Argument(**{**known, "in_presets": "kept"})
    del known[left_out]
    with pytest.raises(TypeError, match=left_out):
        Argument(**known)
