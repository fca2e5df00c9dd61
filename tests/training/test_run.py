"""Runs by a recipe: what they leave, how they resume, and what they refuse."""

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

from keras_staa import training, zoo
from keras_staa.training.run import StopAtNaN
from tests.real import ROOT
from tests.training.support import CLASSES, pictures, recipe_of

pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def recipe_path(tmp_path_factory):
    return recipe_of(pictures(tmp_path_factory.mktemp("data") / "colors"))


@pytest.fixture(scope="module")
def run(recipe_path, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "first"
    return folder, training.train(training.load_recipe(recipe_path), folder, verbose=0)


def weights(folder, result):
    """Return the weights; a file also has automatic names, which count in a process."""
    return zoo.load(folder / result["preset"]).get_weights()


def test_a_run_leaves_all_that_is_known_of_it(run, recipe_path):
    folder, result = run
    assert result["preset"] == "compact_w4_t2.colors" and result["epochs"] == 2
    names = {path.name for path in folder.iterdir()} - {"tensorboard", "curves.png"}
    files = {"recipe.toml", "environment.json", "history.csv", "log.txt", "result.json"}
    assert names == files | {"checkpoints", result["preset"]}
    assert json.loads((folder / "result.json").read_text()) == result
    assert training.load_recipe(folder / "recipe.toml") == training.load_recipe(recipe_path)
    with open(folder / "history.csv") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["0", "1"]
    log = (folder / "log.txt").read_text()
    assert "epoch 1: " in log and "epoch 2: " in log
    assert json.loads((folder / "environment.json").read_text())["keras"] == keras.__version__


def test_the_preset_is_the_network_that_was_measured(run, recipe_path):
    folder, result = run
    known = zoo.describe(folder / result["preset"])
    assert known["class_names"] == sorted(CLASSES)
    assert known["training"]["recipe"]["optimizer"]["learning_rate"] == 0.05
    assert known["data_set"] == known["training"]["recipe"]["data"]["source"] == "colors"
    assert known["accuracy"]["value"] == result["accuracy"]
    assert known["accuracy"]["images"] == 12 and known["accuracy"]["split"] == "test"
    recipe = training.load_recipe(recipe_path)
    test = training.build.read(recipe, "test")
    model = zoo.load(folder / result["preset"])
    right = [
        keras.ops.convert_to_numpy(model(x)).argmax(-1) == np.asarray(y).argmax(-1) for x, y in test
    ]
    assert result["accuracy"] == pytest.approx(np.concatenate(right).mean(), abs=1e-4)


def test_a_run_that_is_done_is_left_alone(run, recipe_path):
    folder, result = run
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    assert training.train(training.load_recipe(recipe_path), folder) == result
    for path, changed in before.items():
        assert path.name == "log.txt" or path.stat().st_mtime_ns == changed


def test_a_run_that_was_stopped_in_its_first_epoch_has_a_whole_history(
    run, recipe_path, tmp_path, monkeypatch
):
    recipe, begin = training.load_recipe(recipe_path), StopAtNaN.on_train_batch_end

    def stopped(self, batch, logs=None):
        begin(self, batch, logs)
        if batch == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(StopAtNaN, "on_train_batch_end", stopped)
    with pytest.raises(KeyboardInterrupt):
        training.train(recipe, tmp_path / "run", verbose=0)
    monkeypatch.undo()
    training.train(recipe, tmp_path / "run", verbose=0)
    histories = []
    for folder in (tmp_path / "run", run[0]):
        with open(folder / "history.csv") as file:
            rows = list(csv.DictReader(file))
        histories.append([[row[name] for name in ("epoch", "loss", "accuracy")] for row in rows])
    assert histories[0] == histories[1] and len(histories[0]) == 2


def test_another_recipe_or_other_files_are_refused(run, recipe_path, tmp_path):
    folder, _ = run
    other = training.load_recipe(recipe_path, ["training.epochs=3"])
    with pytest.raises(ValueError, match="`out` must be .* `training.epochs`: 2 there, 3 now"):
        training.train(other, folder)
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="`out` must be a new or an empty folder"):
        training.train(other, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_loss_that_is_not_finite_stops_the_run(recipe_path, tmp_path):
    recipe = training.load_recipe(recipe_path, ["optimizer.learning_rate=1e30"])
    said = r"The loss is nan after step \d of epoch \d\. The last checkpoint is "
    with pytest.raises(FloatingPointError, match=said):
        training.train(recipe, tmp_path / "run", verbose=0)
    assert "ERROR FloatingPointError: The loss is nan" in (tmp_path / "run/log.txt").read_text()


def test_a_data_set_that_is_not_there(recipe_path, tmp_path):
    recipe = training.load_recipe(recipe_path, ["data.source=nowhere"])
    with pytest.raises(ValueError, match="`source` must be .*Received: source='nowhere'"):
        training.train(recipe, tmp_path / "run", data_dir=tmp_path / "none", verbose=0)


@pytest.mark.parametrize(
    "change, message",
    [
        ("training.batch_size=25", "`training.batch_size` must be at most the number of train"),
        ("schedule.warmup_epochs=2", "`schedule.warmup_epochs` must be less than `training.epoch"),
    ],
)
def test_a_training_without_steps(recipe_path, tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        training.train(training.load_recipe(recipe_path, [change]), tmp_path, verbose=0)


def start(recipe_path, out):
    command = [sys.executable, "-m", "keras_staa", "train", recipe_path, "--out", out]
    return subprocess.Popen(
        [str(word) for word in command],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@pytest.mark.slow
def test_kills_at_random_moments_change_nothing(recipe_path, run, tmp_path):
    folder, out = run[0], tmp_path / "killed"
    draw = random.Random(0)
    kills = 0
    while True:
        process = start(recipe_path, out)
        try:
            # Longer each time, so that a slow machine comes to the end as well.
            deadline = time.monotonic() + draw.uniform(2, 5 + 2 * kills)
            while process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.05)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                kills += 1
            process.wait()
        if (out / "result.json").exists():
            break
        assert kills < 40
    result = json.loads((out / "result.json").read_text())
    assert kills >= 2
    for one, other in zip(weights(out, result), weights(folder, run[1]), strict=True):
        np.testing.assert_array_equal(one, other)
    shutil.rmtree(out)
