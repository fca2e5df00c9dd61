"""Real data for the tests that need it, where it is."""

import functools
import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parents[1]
FOLDER = pathlib.Path(os.environ.get("KERAS_STAA_TEST_DATA", ROOT.parent / "shared" / "data"))


def prepare(out, *options):
    """Unpack CIFAR-10 into a folder; skips the test where there is none."""
    script = FOLDER / "prepare.py"
    if not script.is_file():
        pytest.skip(f"no CIFAR-10: {script} is absent; set KERAS_STAA_TEST_DATA")
    command = [sys.executable, script, "--out", out, "--only", "cifar10", *options]
    subprocess.run(command, check=True, capture_output=True)


@functools.cache
def cifar10_test():
    """The 10,000 test images in [0, 1] and their labels."""
    with tempfile.TemporaryDirectory() as folder:
        prepare(folder, "--npz", "--no-tfds")
        with np.load(pathlib.Path(folder) / "cifar10.npz") as arrays:
            return arrays["x_test"].astype("float32") / 255.0, arrays["y_test"].ravel()


def nmnist(out, pattern):
    """Unpack recordings of N-MNIST into a folder; skips the test where there are none."""
    packed = FOLDER / "nmnist1k.tar.xz"
    if not packed.is_file():
        pytest.skip(f"no N-MNIST: {packed} is absent; set KERAS_STAA_TEST_DATA")
    with tarfile.open(packed) as archive:
        archive.extractall(out, filter="data")
    return sorted(pathlib.Path(out).glob(f"**/{pattern}"))
