"""Training with a teacher: its pictures, its loss and its rates, and a run from end to end."""

import argparse
import csv
import json
import subprocess
import sys

import keras
import numpy as np
import pytest

from tests.examples.test_train_cifar10 import Cifar10
from tests.real import ROOT

SCRIPT = ROOT / "examples" / "train_distilled.py"

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="An epoch as one program is JAX's."
)


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "examples")
    import train_distilled

    return train_distilled


@pytest.fixture
def epochs(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "examples")
    import compiled_epochs

    return compiled_epochs


def test_crops_are_windows_of_the_images_and_mixtures_of_two(epochs):
    import jax

    images = np.random.default_rng(0).integers(0, 256, (8, 12 + 8, 12 + 8, 3)).astype("uint8")
    plain, weight = map(np.asarray, epochs.augmented(jax.random.key(3), images, 0.0))
    assert (weight == 1).all()
    found = set()
    for image, crop in zip(images / np.float32(255), plain, strict=True):
        windows = np.lib.stride_tricks.sliding_window_view(image, (12, 12, 3))[:, :, 0]
        at = [
            (flip, top, left)
            for flip, kept in enumerate((crop, crop[:, ::-1]))
            for top, left in np.argwhere((np.abs(windows - kept) < 1e-6).all((2, 3, 4)))
        ]
        assert len(at) == 1
        found.update(at)
    assert len(found) > 4 and {flip for flip, *_ in found} == {0, 1}
    mixed, weight = map(np.asarray, epochs.augmented(jax.random.key(3), images, 1.0))
    share = weight[:, :, None, None]
    np.testing.assert_allclose(mixed, share * plain + (1 - share) * plain[::-1], atol=1e-6)
    assert len(np.unique(weight)) == 8 and weight.min() > 0 and weight.max() < 1


def test_half_of_the_images_get_noise(epochs):
    import jax

    images = np.full((400, 12 + 8, 12 + 8, 3), 128, "uint8")
    found, weight = epochs.augmented(jax.random.key(3), images, 0.0, noise=0.1)
    deviations = np.std(np.asarray(found), axis=(1, 2, 3))
    assert 150 < np.sum(deviations > 1e-6) < 250 and 0.09 < deviations.max() < 0.11
    assert (np.asarray(weight) == 1).all()


def test_the_loss_is_that_of_labels_and_soft_labels(epochs):
    rng = np.random.default_rng(1)
    logits, soft = rng.normal(size=(5, 3, 4)), rng.normal(size=(5, 4))
    targets = np.eye(4)[rng.integers(0, 4, 5)]

    def probabilities(x):
        return np.exp(x) / np.exp(x).sum(-1, keepdims=True)

    def divergence(x):
        goal = probabilities(soft / 2.0)
        return 4.0 * (goal * np.log(goal / probabilities(x / 2.0))).sum(-1).mean()

    smoothed = targets * 0.8 + 0.05
    hard = -(smoothed * np.log(probabilities(logits.mean(1)))).sum(-1).mean()
    steps = np.mean([divergence(logits[:, t]) for t in range(3)])
    expected = 0.3 * hard + 0.7 * (divergence(logits.mean(1)) + steps) / 2
    args = argparse.Namespace(label_smoothing=0.2, temperature=2.0, teacher_weight=0.7)
    found = [epochs.loss_of(logits, targets, given, args) for given in (None, soft)]
    np.testing.assert_allclose(found, [hard, expected], rtol=1e-5)


def test_the_rates_rise_for_a_tenth_and_end_near_zero(epochs):
    rates = epochs.rates_of(10, 10, 0.5)
    assert rates.shape == (10, 10)
    np.testing.assert_allclose(rates[0], 0.5 * (np.arange(10) + 0.5) / 10, rtol=1e-6)
    assert (np.diff(rates.ravel()[10:]) < 0).all()
    np.testing.assert_allclose(rates.ravel()[54:56].mean(), 0.25, rtol=1e-3)
    assert rates[-1, -1] < 1e-3


def test_a_stage_that_was_cut_off_is_recorded_once(script, tmp_path):
    def row(epoch, loss):
        return [epoch, 0 if epoch < 2 else 1, 1, loss, 0.5, 1.0]

    path = tmp_path / "history.csv"
    script.record(path, 0, [row(0, 9), row(1, 8)])
    script.record(path, 2, [row(2, 7), row(3, 6)])
    script.record(path, 2, [row(2, 5), row(3, 4)])
    with open(path) as file:
        assert [row["loss"] for row in csv.DictReader(file)] == ["9", "8", "5", "4"]
    assert list(tmp_path.iterdir()) == [path]


def run(*arguments):
    command = [sys.executable, SCRIPT, "--batch-size", "16", *arguments]
    return subprocess.run([str(word) for word in command], check=True, capture_output=True)


@pytest.mark.slow
@pytest.mark.release
def test_a_teacher_and_its_student(tmp_path):
    Cifar10(data_dir=tmp_path / "data").download_and_prepare()
    rng = np.random.default_rng(0)
    labels = np.arange(32) % 10
    images = rng.integers(0, 100, (32, 32, 32, 3)) + 15 * labels[:, None, None, None]
    both = {"x_train": images.astype("uint8"), "y_train": labels}
    np.savez(tmp_path / "train.npz", **both)
    np.savez(tmp_path / "all.npz", **both, x_test=both["x_train"], y_test=labels)
    teacher = tmp_path / "teacher", "--width", 4, "--architecture", "STAACompact", "--relu"
    run("--npz", tmp_path / "all.npz", "--out", *teacher, "--stages", "1:1:0.1")
    origin = json.loads((tmp_path / "teacher" / "origin.json").read_text())
    network = keras.saving.load_model(tmp_path / "teacher" / "network.keras")
    logits = network(both["x_train"] / np.float32(255))
    right = np.mean(np.asarray(logits, "float32")[:, 0].argmax(-1) == labels)
    assert origin["accuracy"] == pytest.approx(right, abs=1 / 32)
    student = (
        *("--out", tmp_path / "student", "--data-dir", tmp_path / "data", "--width", 4),
        *("--architecture", "STAACompact", "--teacher", tmp_path / "teacher", "--mixed", 0.5),
        *("--stages", "1:2:0.1", "2:1:0.05"),
    )
    run("--npz", tmp_path / "train.npz", *student)
    weights = sorted((tmp_path / "student").glob("stage*.weights.h5"))
    assert [path.name for path in weights] == ["stage0.weights.h5", "stage1.weights.h5"]
    written = [path.read_bytes() for path in weights]
    with open(tmp_path / "student" / "history.csv") as file:
        rows = list(csv.DictReader(file))
    assert [(row["steps"], row["epoch"]) for row in rows] == [("1", "0"), ("1", "1"), ("2", "2")]
    # The same command, with test images, trains nothing again and writes the preset.
    run("--npz", tmp_path / "all.npz", *student)
    assert [path.read_bytes() for path in weights] == written
    preset = tmp_path / "student" / "compact_w4_t2.cifar10"
    import keras_staa

    training = keras_staa.zoo.describe(preset)["training"]
    assert training["teacher"] == origin
    assert origin["command"].startswith("python examples/train_distilled.py --batch-size 16")
    assert training["reported_epoch"] == 3 and training["backend"].startswith("jax")
    model = keras_staa.zoo.load(preset)
    assert model(both["x_train"][:2] / np.float32(255)).shape == (2, 10)
