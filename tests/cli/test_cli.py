"""What the command line prints is what the library says; an error is one line and status 1."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from keras_staa import presets, zoo
from keras_staa.cli import main
from tests.zoo.support import CLASSES, registered, saved, tiny


@pytest.fixture(autouse=True)
def terminal(monkeypatch):
    registered(monkeypatch)
    # In narrow output long paths of temporary folders are cut.
    monkeypatch.setenv("COLUMNS", "300")


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("presets") / "tiny_w4_t1.noise"
    accuracy = {"value": 0.8125, "split": "test", "images": 16, "measured": "python x.py"}
    return saved(folder, accuracy=accuracy, text="Only for *tests*.")


def picture(path, shape=(16, 16, 3), seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype="uint8")
    Image.fromarray(pixels).save(path)
    return pixels


def rows(printed):
    """The cells of the lines of a table that hold any."""
    lines = [line.strip().replace("┃", "│") for line in printed.splitlines()]
    return [[c.strip() for c in line[1:-1].split("│")] for line in lines if "│" in line]


def fails(arguments, capsys):
    """Standard error of a command that fails."""
    assert main(arguments) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"keras-staa {arguments[0]}: ")
    assert len(err.splitlines()) == 1, err
    return err


def test_list(capsys):
    assert main(["list"]) == 0
    table = rows(capsys.readouterr().out)
    names = [row[0] for row in table]
    for name in zoo.list_models():
        row = table[names.index(name)]
        known = zoo.describe(name)
        assert f"{known['parameters']:,}" in row
        assert str(known["steps"]) in row
        if known["accuracy"]:
            assert f"{100 * known['accuracy']['value']:.2f}%" in row
        short = [alias for alias, meant in presets.aliases().items() if meant == name]
        assert sorted(row[1].split(", ")) == (sorted(short) or [""])


def test_list_as_json(capsys):
    assert main(["list", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == [zoo.describe(name) for name in zoo.list_models()]


def test_describe(capsys, preset):
    assert main(["describe", "cifar10"]) == 0
    assert presets.aliases()["cifar10"] in capsys.readouterr().out
    assert main(["describe", str(preset)]) == 0
    printed = capsys.readouterr().out
    for part in ("tiny_w4_t1.noise", "81.25%", "python x.py", "Only for tests."):
        assert part in printed


def test_describe_as_json(capsys, preset):
    for name in ("cifar10", zoo.list_models()[0], str(preset)):
        assert main(["describe", name, "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == zoo.describe(name)


@pytest.mark.parametrize("top", [1, 2, 3, 50])
def test_predict(top, capsys, preset, tmp_path):
    pixels = [picture(tmp_path / f"{seed}.png", seed=seed) for seed in (0, 1)]
    paths = [str(tmp_path / f"{seed}.png") for seed in (0, 1)]
    assert main(["predict", *paths, "--model", str(preset), "--top", str(top)]) == 0
    table = rows(capsys.readouterr().out)
    assert table[0] == ["Picture", "Class", "Probability"]
    expected = []
    y = zoo.load(preset).predict(np.array(pixels) / 255, verbose=0)
    assert not np.allclose(y[0], y[1], atol=1e-3)
    for path, row in zip(paths, y, strict=True):
        best = sorted(zip(row, CLASSES, strict=True), reverse=True)[:top]
        for place, (probability, name) in enumerate(best):
            expected.append(["" if place else path, name, f"{probability:.3f}"])
    assert table[1:] == expected


def test_predict_takes_the_square_in_the_middle(capsys, preset, tmp_path):
    pixels = picture(tmp_path / "wide.png", (16, 32, 3))
    assert main(["predict", str(tmp_path / "wide.png"), "--model", str(preset)]) == 0
    y = zoo.load(preset).predict(pixels[None, :, 8:24] / 255, verbose=0)[0]
    printed = {name: value for _, name, value in rows(capsys.readouterr().out)[1:]}
    assert printed == {name: f"{p:.3f}" for name, p in zip(CLASSES, y, strict=True)}


def test_predict_reads_other_kinds_of_pictures(capsys, preset, tmp_path):
    for path, shape in (
        ("grey.png", (20, 20)),
        ("clear.png", (9, 9, 4)),
        ("photo.jpg", (40, 30, 3)),
    ):
        picture(tmp_path / path, shape)
        assert main(["predict", str(tmp_path / path), "--model", str(preset)]) == 0
        assert len(rows(capsys.readouterr().out)) == 4


def test_predict_with_a_network_for_grey_pictures(capsys, tmp_path):
    folder = saved(tmp_path / "grey", tiny(input_shape=(16, 16, 1)))
    pixels = picture(tmp_path / "grey.png", (16, 16))
    assert main(["predict", str(tmp_path / "grey.png"), "--model", str(folder)]) == 0
    y = zoo.load(folder).predict(pixels[None, ..., None] / 255, verbose=0)[0]
    printed = {name: value for _, name, value in rows(capsys.readouterr().out)[1:]}
    assert printed == {name: f"{p:.3f}" for name, p in zip(CLASSES, y, strict=True)}


@pytest.mark.parametrize("arguments", [{"classifier_activation": None}, {"step_logits": True}])
def test_predict_prints_probabilities_of_a_network_of_logits(arguments, capsys, tmp_path):
    model = tiny(**arguments)
    pixels = picture(tmp_path / "a.png")
    assert (
        main(["predict", str(tmp_path / "a.png"), "--model", str(saved(tmp_path / "m", model))])
        == 0
    )
    logits = model.predict(pixels[None] / 255, verbose=0).reshape(3)
    y = np.exp(logits) / np.exp(logits).sum()
    printed = {name: value for _, name, value in rows(capsys.readouterr().out)[1:]}
    assert printed == {name: f"{p:.3f}" for name, p in zip(CLASSES, y, strict=True)}


def test_predict_prints_names_as_they_are(capsys, tmp_path):
    names = ["[cat]", "[/dog]", "frog"]
    folder = saved(tmp_path / "m", class_names=names)
    picture(tmp_path / "photo [copy].png")
    assert main(["predict", str(tmp_path / "photo [copy].png"), "--model", str(folder)]) == 0
    table = rows(capsys.readouterr().out)
    assert table[1][0] == str(tmp_path / "photo [copy].png")
    assert sorted(row[1] for row in table[1:]) == sorted(names)


def test_an_unknown_model(capsys, tmp_path):
    picture(tmp_path / "a.png")
    for arguments in (
        ["describe", "resnet50"],
        ["describe", "resnet50", "--json"],
        ["predict", str(tmp_path / "a.png"), "--model", "resnet50"],
    ):
        err = fails(arguments, capsys)
        assert "'resnet50'" in err
        assert zoo.list_models()[0] in err


def test_pictures_that_cannot_be_read(capsys, preset, tmp_path):
    assert "nowhere.png" in fails(
        ["predict", str(tmp_path / "nowhere.png"), "--model", str(preset)], capsys
    )
    (tmp_path / "text.png").write_text("no picture")
    assert "text.png" in fails(
        ["predict", str(tmp_path / "text.png"), "--model", str(preset)], capsys
    )


def test_other_errors_are_one_line_too(capsys, preset, tmp_path):
    picture(tmp_path / "a.png")
    predict = ["predict", str(tmp_path / "a.png"), "--model"]
    assert "`top`" in fails([*predict, str(preset), "--top", "0"], capsys)
    frames = saved(tmp_path / "frames", tiny(input_shape=(2, 16, 16, 2)))
    assert "event camera" in fails([*predict, str(frames)], capsys)
    broken = saved(tmp_path / "broken")
    (broken / "model.weights.h5").write_bytes(b"")
    assert "sha256" in fails([*predict, str(broken)], capsys)
    (broken / "card.md").unlink()
    assert "card.md" in fails(["describe", str(broken)], capsys)


def test_a_damaged_description_is_one_line(capsys, tmp_path):
    folder = saved(tmp_path / "preset")
    (folder / "preset.json").write_text('{"format": 1}')
    assert "preset.json" in fails(["describe", str(folder), "--json"], capsys)


@pytest.mark.parametrize("arguments", [[], ["train"], ["predict"], ["list", "--yaml"]])
def test_a_command_line_that_is_no_command(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert "usage: keras-staa" in capsys.readouterr().err


def test_as_a_module():
    command = [sys.executable, "-m", "keras_staa", "list", "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [preset["name"] for preset in json.loads(done.stdout)] == zoo.list_models()
