"""The example for event recordings: what it records, learns, takes over and draws."""

import importlib
import sys

import numpy as np
import pytest

import keras_staa
from keras_staa.data import formats
from tests.real import ROOT

pytest.importorskip("matplotlib")
Image = pytest.importorskip("PIL.Image")


@pytest.fixture(scope="module")
def example():
    sys.path.insert(0, str(ROOT / "examples"))
    return importlib.import_module("finetune_events")


@pytest.fixture(scope="module")
def folder(example, tmp_path_factory):
    folder = tmp_path_factory.mktemp("recorded") / "shapes"
    example.record(folder, 12, seed=1)
    return folder


def test_recordings_move_to_their_side_and_come_again(example, folder, tmp_path):
    example.record(tmp_path / "shapes", 12, seed=1)
    paths = sorted(folder.glob("*/*"))
    assert len(paths) == 48 and {p.suffix for p in paths} == {".bin", ".npy"}
    for path in paths:
        again = tmp_path / "shapes" / path.relative_to(folder)
        assert again.read_bytes() == path.read_bytes()
        events = formats.read(path, sensor_size=(34, 34)).events
        early, late = events[: len(events) // 3], events[-(len(events) // 3) :]
        moved = {k: late[k].astype(float).mean() - early[k].astype(float).mean() for k in "xy"}
        axis, sign = {"left": ("x", -1), "right": ("x", 1), "up": ("y", -1), "down": ("y", 1)}[
            path.parent.name
        ]
        other = "y" if axis == "x" else "x"
        assert sign * moved[axis] > 2 > abs(moved[other])


def arguments(tmp_path, *more):
    common = ("--out", f"{tmp_path / 'out'}", "--cache-dir", f"{tmp_path / 'cache'}")
    return [*common, *more]


@pytest.mark.slow
def test_learns_and_draws(example, folder, tmp_path, capsys):
    few = ("--epochs", "10", "--batch-size", "6")
    accuracy = example.main([f"{folder}", *arguments(tmp_path, *few)])
    said = capsys.readouterr().out
    assert "36 recordings to train on, 12 held out" in said
    assert f"12 held-out samples: {accuracy:.1%}" in said
    assert accuracy > 0.7  # One in four by chance.
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["events.png"]
    picture = np.asarray(Image.open(tmp_path / "out" / "events.png").convert("RGB")).astype(int)
    red, green, blue = np.moveaxis(picture, -1, 0)
    # Frames of OFF and ON events, and the bar or label of the truth, are to be seen.
    assert (red - blue > 100).sum() > 500 < (blue - red > 100).sum()


@pytest.mark.slow
def test_trains_from_the_beginning(example, folder, tmp_path):
    small = ("--weights", "random", "--size", "17", "--steps", "4", "--width", "4")
    accuracy = example.main([f"{folder}", *arguments(tmp_path, *small, "--epochs", "1")])
    assert 0 <= accuracy <= 1
    assert (tmp_path / "out" / "events.png").exists()


def test_takes_over_the_layers_of_a_preset(example, tmp_path):
    model = keras_staa.STAAVGG(input_shape=(3, 16, 16, 2), classes=5, width=4)
    names = [f"class {k}" for k in range(5)]
    preset = keras_staa.zoo.save(
        model,
        tmp_path / "five",
        data_set="none",
        class_names=names,
        dtype="float32",
        training={"normalize": True},
    )
    assert example.frames_of(preset, None, None) == (3, {"size": (16, 16), "normalize": True})
    tuned = example.network(preset, (4, 17, 17, 2), 4, width=None)
    taken = [
        np.array_equal(*weights)
        for layer in model.layers
        if layer.name != "predictions"
        for weights in zip(
            layer.get_weights(), tuned.get_layer(layer.name).get_weights(), strict=True
        )
        if weights[0].shape == weights[1].shape
    ]
    assert len(taken) > 10 and all(taken)
    assert tuned.output_shape == (None, 4)


def test_a_folder_with_test_recordings_keeps_them_apart(example, tmp_path):
    for name in ("set/Train", "set/testing", "other"):
        (tmp_path / name / "cat").mkdir(parents=True)
        (tmp_path / name / "cat" / "a.bin").touch()
    assert example.splits(tmp_path / "set", 25) == ("train", "test")
    assert example.splits(tmp_path / "other", 25) == ("train[25%:]", "train[:25%]")
