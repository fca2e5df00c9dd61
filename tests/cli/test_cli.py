"""What the command line prints is what the library says; an error is one line and status 1."""

import json
import os
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

import keras_staa
from keras_staa import presets, zoo
from keras_staa.cli import main
from tests.real import ROOT
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


def printed_probabilities(capsys, path, preset):
    """What `predict` prints of one picture, by class."""
    assert main(["predict", str(path), "--model", str(preset)]) == 0
    return {name: value for _, name, value in rows(capsys.readouterr().out)[1:]}


def expected_probabilities(pixels, preset):
    y = zoo.load(preset).predict(pixels[None] / 255, verbose=0)[0]
    return {name: f"{p:.3f}" for name, p in zip(CLASSES, y, strict=True)}


@pytest.mark.parametrize(
    ("orientation", "upright"),
    [(3, lambda p: p[::-1, ::-1]), (6, lambda p: np.rot90(p, -1)), (8, lambda p: np.rot90(p))],
)
def test_predict_turns_pictures_upright(orientation, upright, capsys, preset, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype="uint8")
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    expected = expected_probabilities(upright(pixels), preset)
    assert expected != expected_probabilities(pixels, preset)
    assert printed_probabilities(capsys, tmp_path / "a.png", preset) == expected


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_predict_reads_pictures_of_16_bits(ending, capsys, preset, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16), dtype="uint8")
    path = tmp_path / f"a.{ending}"
    Image.fromarray(pixels.astype("uint16") * 257).save(path)
    expected = expected_probabilities(np.stack([pixels] * 3, axis=-1), preset)
    assert printed_probabilities(capsys, path, preset) == expected


def bomb(path, side):
    """A PNG that claims to have side * side pixels."""
    size = struct.pack(">II", side, side) + bytes((8, 2, 0, 0, 0))
    chunks = [(b"IHDR", size), (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b"")]
    packed = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    ]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(packed))


@pytest.mark.parametrize("side", [10_000, 60_000])
def test_a_picture_of_too_many_pixels(side, capsys, preset, tmp_path):
    """Of both sizes of which Pillow warns and which it refuses."""
    bomb(tmp_path / "bomb.png", side)
    err = fails(["predict", str(tmp_path / "bomb.png"), "--model", str(preset)], capsys)
    assert "bomb.png" in err and "too large" in err and "pixels" in err


def test_what_cannot_be_read_does_not_stop_the_others(capsys, preset, tmp_path):
    picture(tmp_path / "a.png"), picture(tmp_path / "z.png", seed=1)
    (tmp_path / "text.png").write_text("no picture")
    cut = (tmp_path / "a.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(cut[: len(cut) // 2])
    bomb(tmp_path / "bomb.png", 60_000)
    (tmp_path / "empty").mkdir()
    names = ["nowhere.png", "text.png", "a.png", "cut.png", "bomb.png", "z.png", "empty", "a.png"]
    paths = [str(tmp_path / name) for name in names]
    assert main(["predict", *paths, "--model", str(preset), "--top", "1"]) == 1
    out, err = capsys.readouterr()
    assert [row[0] for row in rows(out)[1:]] == [paths[i] for i in (2, 5, 7)]
    lines = err.splitlines()
    assert len(lines) == 5
    for name in ("nowhere.png", "text.png", "cut.png", "bomb.png", "empty"):
        (line,) = [line for line in lines if name in line]
        assert line.startswith("keras-staa predict: `pictures` must be image files")


def test_predict_takes_folders(capsys, preset, tmp_path):
    for name in ("b.png", "a.JPG", "deep/c.png", ".hidden/d.png", "._b.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        picture(tmp_path / name)
    (tmp_path / "labels.csv").write_text("b.png,cat")
    command = ["predict", str(tmp_path), "--model", str(preset), "--top", "1"]
    assert main(command) == 0
    found = [row[0] for row in rows(capsys.readouterr().out)[1:]]
    assert found == [str(tmp_path / name) for name in ("a.JPG", "b.png", "deep/c.png")]


def test_predict_in_several_chunks(capsys, preset, tmp_path, monkeypatch):
    paths = [str(tmp_path / f"{seed}.png") for seed in range(5)]
    for seed, path in enumerate(paths):
        picture(path, seed=seed)
    command = ["predict", *paths, "--model", str(preset)]
    assert main(command) == 0
    whole = capsys.readouterr().out
    monkeypatch.setattr("keras_staa.cli.predict.CHUNK", 2)
    assert main(command) == 0
    assert capsys.readouterr().out == whole


def test_predict_without_pillow_says_what_to_install(capsys, monkeypatch, preset):
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert "pip install pillow" in fails(["predict", "a.png", "--model", str(preset)], capsys)


def test_narrow_terminals_cut_nothing(capsys, monkeypatch, preset, tmp_path):
    monkeypatch.setenv("COLUMNS", "40")
    assert main(["list"]) == 0
    table = capsys.readouterr().out
    for name in zoo.list_models():
        assert name in table
    path = tmp_path / f"{'long' * 30}.png"
    picture(path)
    assert main(["predict", str(path), "--model", str(preset)]) == 0
    assert str(path) in capsys.readouterr().out


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
    assert "grayscale or RGB" in fails([*predict, str(frames)], capsys)
    broken = saved(tmp_path / "broken")
    (broken / "model.weights.h5").write_bytes(b"")
    assert "sha256" in fails([*predict, str(broken)], capsys)
    (broken / "card.md").unlink()
    assert "card.md" in fails(["describe", str(broken)], capsys)


def test_a_damaged_description_is_one_line(capsys, tmp_path):
    folder = saved(tmp_path / "preset")
    (folder / "preset.json").write_text('{"format": 1}')
    assert "preset.json" in fails(["describe", str(folder), "--json"], capsys)


@pytest.mark.parametrize("arguments", [[], ["fly"], ["predict"], ["list", "--yaml"]])
def test_a_command_line_that_is_no_command(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert "usage: keras-staa" in capsys.readouterr().err


MODULE = ["-m", "keras_staa"]
SCRIPT = ["-c", "import keras_staa_command, sys; sys.exit(keras_staa_command.main())"]


def run(*command):
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.parametrize("start", [MODULE, SCRIPT])
def test_as_a_program(start):
    assert run(*start, "--version").stdout == f"keras-staa {keras_staa.__version__}\n"
    listed = json.loads(run(*start, "list", "--json").stdout)
    assert [preset["name"] for preset in listed] == zoo.list_models()


@pytest.mark.parametrize("start", [MODULE, SCRIPT])
@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["describe", "cifar10"]])
def test_no_backend_is_imported_for_what_needs_none(start, arguments):
    imported = run("-X", "importtime", *start, *arguments).stderr
    names = {line.split("|")[-1].strip().split(".")[0] for line in imported.splitlines()}
    assert "keras_staa" in names
    assert names & {"keras", "tensorflow", "jax", "torch", "numpy", "h5py", "PIL"} == set()


def test_predict_as_a_program(tmp_path):
    """Here the layers of a network are imported by the command itself."""
    picture(tmp_path / "a.png")
    done = run(*SCRIPT, "predict", str(tmp_path / "a.png"))
    names = [row[1] for row in rows(done.stdout)[1:]]
    assert len(names) == 3 and set(names) <= set(zoo.describe("cifar10")["class_names"])


@pytest.mark.parametrize("start", [["-c", "import x"], ["-m", "x", "-m", "keras_staa", "list"]])
def test_every_other_program_gets_all_of_the_package(start, tmp_path):
    """Also one that Python runs with -m, and whose arguments look like the command's."""
    (tmp_path / "x.py").write_text(
        "import keras, keras_staa\n"
        "assert keras_staa.zoo and keras_staa.STAAVGG\n"
        "assert keras.saving.get_registered_object('keras_staa>STAALIF')\n"
        "print('whole')"
    )
    path = os.pathsep.join([str(tmp_path), str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, *start],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.stdout == "whole\n", done.stderr
