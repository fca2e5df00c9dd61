"""`keras-staa export` writes what `keras_staa.export` writes, from a preset."""

import keras
import numpy as np
import pytest

from keras_staa.cli import main
from keras_staa.exporting import FORMATS
from tests.cli.test_cli import fails
from tests.zoo.support import registered, saved


@pytest.fixture
def preset(tmp_path, monkeypatch):
    registered(monkeypatch)
    return saved(tmp_path / "tiny_w4_t1.noise")


def test_export(preset, tmp_path, capsys):
    backend = keras.backend.backend()
    name = {"tensorflow": "litert", "jax": "stablehlo", "torch": "torch"}[backend]
    path = tmp_path / f"tiny{FORMATS[name].SUFFIX}"
    assert main(["export", str(preset), str(path), "--format", name]) == 0
    printed = capsys.readouterr().out
    assert path.is_file() and printed.startswith(f"{path}: ")
    assert f"the same class as on {backend} for 100 of 100 samples" in printed


def test_export_compares_on_a_data_set(preset, tmp_path, capsys):
    x = np.random.default_rng(0).integers(0, 256, (30, 16, 16, 3), dtype="uint8")
    y = np.arange(30) % 3
    np.savez(tmp_path / "data.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    backend = keras.backend.backend()
    name = {"tensorflow": "tf_saved_model", "jax": "stablehlo", "torch": "torch"}[backend]
    path = tmp_path / f"tiny{FORMATS[name].SUFFIX}"
    data = ["--data", str(tmp_path / "data.npz"), "--samples", "25"]
    assert main(["export", str(preset), str(path), "--format", name, *data]) == 0
    assert "for 25 of 25 samples" in capsys.readouterr().out
    assert f"`path` must not exist yet. Received: path='{path}'" in fails(
        ["export", str(preset), str(path), "--format", name], capsys
    )
