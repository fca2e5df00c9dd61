"""The training script: what it writes, and that a killed run goes on."""

import csv
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.real import ROOT

tfds = pytest.importorskip("tensorflow_datasets")
pytest.importorskip("tensorflow")

SCRIPT = ROOT / "examples" / "train_cifar10.py"
EPOCHS = 4


class Cifar10(tfds.core.GeneratorBasedBuilder):
    """Small stand-in under the same name: random images, whose colour tells the class."""

    name = "cifar10"
    VERSION = tfds.core.Version("3.0.2")

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(32, 32, 3)),
            "label": tfds.features.ClassLabel(names=[f"class {i}" for i in range(10)]),
        }
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features), supervised_keys=("image", "label")
        )

    def _split_generators(self, manager):
        return {"train": self._generate_examples(640), "test": self._generate_examples(64)}

    def _generate_examples(self, count):
        rng = np.random.default_rng(count)
        for index in range(count):
            image = rng.integers(0, 100, (32, 32, 3)) + 15 * (index % 10)
            yield index, {"image": image.astype("uint8"), "label": index % 10}


def command(folder):
    return [
        *(sys.executable, SCRIPT, "--out", folder / "run", "--data-dir", folder / "data"),
        *("--width", "4", "--steps", "1", "--epochs", str(EPOCHS), "--batch-size", "32"),
    ]


def epochs(folder):
    path = folder / "run" / "history.csv"
    return [int(row["epoch"]) for row in csv.DictReader(open(path))] if path.is_file() else []


def checkpoints(folder):
    return list((folder / "run" / "checkpoint").glob("epoch-*"))


@pytest.mark.slow
def test_a_killed_run_goes_on_from_its_last_epoch(tmp_path):
    tfds.disable_progress_bar()
    Cifar10(data_dir=tmp_path / "data").download_and_prepare()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command(tmp_path), env=environment, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not checkpoints(tmp_path) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 1 <= len(epochs(tmp_path)) < EPOCHS
    name = "vgg_w4_t1.cifar10"
    assert not (tmp_path / "run" / name).exists()

    done = subprocess.run(command(tmp_path), env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    # Killed between the two files of an epoch, it does that epoch once more.
    assert sorted(set(epochs(tmp_path))) == list(range(EPOCHS))
    assert len(epochs(tmp_path)) <= EPOCHS + 1
    assert "Epoch 1/" not in done.stdout

    import keras_staa

    preset = keras_staa.zoo.describe(tmp_path / "run" / name)
    assert preset["accuracy"]["images"] == 64 and preset["classes"] == 10
    assert preset["training"]["reported_epoch"] == EPOCHS
    assert str(tmp_path) not in preset["training"]["command"]
    model = keras_staa.zoo.load(tmp_path / "run" / name)
    test = keras_staa.data.images("cifar10", "test", data_dir=tmp_path / "data", one_hot=True)
    model.compile(metrics=["accuracy"], loss="categorical_crossentropy")
    accuracy = model.evaluate(test, verbose=0, return_dict=True)["accuracy"]
    assert abs(accuracy - preset["accuracy"]["value"]) < 0.05
