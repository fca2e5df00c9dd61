"""The training script for recordings: what it writes, and that a killed run goes on as it was."""

import csv
import json
import os
import sys

import keras
import numpy as np
import pytest

import keras_staa
from keras_staa.data.formats import DTYPE
from tests.data.formats import files
from tests.real import ROOT
from tests.zoo.support import registered

CLASSES = ("2", "10", "cat")
ROLL = {"FrameRoll": {"pixels": 1}, "TimeShift": {"steps": 1}}


@pytest.fixture(autouse=True)
def scripts(monkeypatch):
    """The scripts import each other, as they do when Python runs one of them."""
    monkeypatch.syspath_prepend(ROOT / "examples")
    registered(monkeypatch)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Recordings of three classes, whose events lie in another part of the sensor each."""
    folder = tmp_path_factory.mktemp("data") / "small-set"
    for split, count in (("Train", 16), ("Test", 5)):
        for label, name in enumerate(CLASSES):
            (folder / split / name).mkdir(parents=True)
            for index in range(count):
                made = files.events(200, seed=1000 * label + index + count, size=(12, 4))
                made["x"] += 4 * label
                np.save(folder / split / name / f"r{index}.npy", made.astype(DTYPE))
    return folder


def run(monkeypatch, script, *words):
    """`python examples/SCRIPT.py WORDS`, without the seconds that another Python takes to start."""
    monkeypatch.setattr(sys, "argv", [f"examples/{script}.py", *map(str, words)])
    __import__(script).main()


def train(monkeypatch, data, out, epochs, *words):
    where = ("--data", data, "--out", out, "--cache-dir", out.parent / "cache")
    small = ("--architecture", "Tiny", "--width", 4, "--steps", 2, "--size", 12)
    words = ("--batch-size", 16, "--learning-rate", 0.05, "--epochs", epochs, *words)
    run(monkeypatch, "train_events", *where, *small, *words)


@pytest.mark.heavy
def test_what_a_run_writes(data, tmp_path, monkeypatch, capsys):
    augment = ("--augment", json.dumps(ROLL), "--normalize")
    train(monkeypatch, data, tmp_path / "run", 3, "--loss", "TET", *augment)
    folder = tmp_path / "run" / "tiny_w4_t2.small_set"
    preset = keras_staa.zoo.describe(folder)
    assert preset["data_set"] == "small-set" and preset["class_names"] == list(CLASSES)
    assert preset["arguments"]["input_shape"] == [2, 12, 12, 2]
    assert preset["accuracy"]["images"] == 15 and preset["accuracy"]["split"] == "test"
    stated = f"{preset['accuracy']['value']:.4f}"
    assert f"accuracy on 15 samples after epoch 3: {stated}" in capsys.readouterr().out
    read = {"cache_dir": tmp_path / "cache", "size": 12, "verbose": False}
    for name, split in (("data", "train"), ("test_data", "test")):
        described = keras_staa.data.events(data, 2, split=split, **read).description
        assert preset["training"][name] == json.loads(json.dumps(described))
    assert preset["training"]["loss"] == "TET" and preset["training"]["reported_epoch"] == 3
    text = (folder / "card.md").read_text("utf-8") + (folder / "preset.json").read_text("utf-8")
    assert str(tmp_path) not in text and str(data) not in text
    assert "on 15 samples (test)" in text
    assert len((folder / "history.csv").read_text().splitlines()) == 4
    outputs = keras_staa.zoo.load(folder).predict(np.zeros((1, 2, 12, 12, 2)), verbose=0)
    assert outputs.shape == (1, 3) and outputs.sum() == pytest.approx(1.0)

    where = ("--data", data, "--cache-dir", tmp_path / "cache")
    run(monkeypatch, "evaluate", folder, *where)
    backend = keras.backend.backend()
    expected = f"tiny_w4_t2.small_set on {backend}: {stated} of 15 test samples"
    assert expected in capsys.readouterr().out

    # Other recordings give no figure in the name of those of the card.
    first = next((data / "Test" / "cat").glob("*"))
    kept = first.read_bytes()
    os.remove(first)
    with pytest.raises(ValueError, match="must be the recordings that preset"):
        keras_staa.zoo.verify(folder, data, cache_dir=tmp_path / "cache")
    first.write_bytes(kept)


def losses(out):
    rows = csv.DictReader((out / "history.csv").read_text().splitlines())
    return [float(row["loss"]) for row in rows]


@pytest.mark.slow
def test_a_killed_run_goes_on_as_if_nothing_had_happened(data, tmp_path, monkeypatch):
    train(monkeypatch, data, tmp_path / "whole", 4)
    checkpoint = keras_staa.callbacks.Checkpoint
    save = checkpoint.on_epoch_end

    def killed(self, epoch, logs=None):
        save(self, epoch, logs)
        if epoch == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(checkpoint, "on_epoch_end", killed)
        train(patch, data, tmp_path / "killed", 4)
    assert len(losses(tmp_path / "killed")) == 2
    train(monkeypatch, data, tmp_path / "killed", 4)
    # The order of the samples and their augmentation are those of the epoch that comes next.
    assert losses(tmp_path / "killed") == losses(tmp_path / "whole")
    with pytest.raises(SystemExit, match="this run is done"):
        train(monkeypatch, data, tmp_path / "killed", 4)


def held_out(source, tmp_path, **both):
    import recordings

    return recordings.splits(
        source,
        "train",
        "test",
        True,
        train={"stride": both.pop("stride", None)},
        test={},
        cache_dir=tmp_path,
        verbose=False,
        steps=2,
        **both,
    )


def test_a_fifth_of_the_recordings_of_each_class_is_kept_apart(data, tmp_path):
    learned, measured = held_out(data, tmp_path)
    names = [{f.cache.names[r] for r in f.cache.recordings} for f in (learned, measured)]
    assert not names[0] & names[1] and len(names[0] | names[1]) == 48
    assert np.bincount(learned.cache.labels).tolist() == [13, 13, 13]
    assert np.bincount(measured.cache.labels).tolist() == [3, 3, 3]


def test_of_one_recording_a_class_its_last_fifth_is_kept_apart(tmp_path):
    for label, name in enumerate(CLASSES):
        folder = tmp_path / "single" / name
        folder.mkdir(parents=True)
        np.save(folder / "r.npy", files.events(2000, seed=label, size=(12, 12)))
    window, stride = 1e-4, 2e-5
    learned, measured = held_out(
        tmp_path / "single", tmp_path / "cache", window=window, stride=stride
    )
    for label in range(3):
        early, late = (f.cache.starts[f.cache.labels == label] for f in (learned, measured))
        assert early.max() + 100 <= late.min()
        # Of about 3,000 microseconds: windows of 100, every 20 to learn from.
        assert 90 < len(early) < 130 and 4 <= len(late) <= 7
        assert np.diff(early).max() == 20 and np.diff(late).min() == 100
