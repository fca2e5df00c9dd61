"""The script for TPUs, on eight devices of a CPU."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from tests.real import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(keras.backend.backend() != "jax", reason="The meshes are JAX's."),
]


def run(data, out):
    command = [sys.executable, ROOT / "examples/train_on_tpu.py", "--data", data, "--out", out]
    command += ["--width", 4, "--batch", 2, "--steps", 2, "--epochs", 2]
    flags = "--xla_force_host_platform_device_count=8"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XLA_FLAGS": flags}
    return subprocess.run(
        [str(word) for word in command], env=environment, capture_output=True, text=True
    )


def test_it_trains_and_resumes(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (40, 32, 32, 3), dtype="uint8"), np.arange(40) % 10
    np.savez(tmp_path / "data.npz", x_train=x, y_train=y)
    done = run(tmp_path / "data.npz", tmp_path / "run")
    assert done.returncode == 0, done.stderr[-3000:]
    # 40 images in batches of 16, without the rest.
    assert "Epoch 2/2" in done.stdout and done.stdout.count("2/2 - ") == 2
    files = [tmp_path / "run" / f"epoch-{epoch}.weights.h5" for epoch in (1, 2)]
    assert sorted((tmp_path / "run").iterdir()) == files
    files[1].unlink()
    again = run(tmp_path / "data.npz", tmp_path / "run")
    assert again.returncode == 0, again.stderr[-3000:]
    assert "Epoch 2/2" in again.stdout and again.stdout.count("2/2 - ") == 1
