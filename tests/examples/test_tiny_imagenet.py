"""The file that the script for Tiny ImageNet writes."""

import runpy
import sys

import numpy as np
import pytest

import keras_staa
from tests.real import ROOT

image = pytest.importorskip("PIL.Image")
pytestmark = pytest.mark.once
COLORS = {"n02": (200, 0, 0), "n01": (0, 0, 200)}


def picture(path, color):
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = "RGB" if isinstance(color, tuple) else "L"
    image.new(mode, (64, 64), color).save(path, quality=100, subsampling=0)


@pytest.fixture
def folder(tmp_path):
    """The layout of the data set: two classes, a grey image, validation images in one folder."""
    folder = tmp_path / "tiny-imagenet-200"
    for wnid, color in COLORS.items():
        for number in range(3):
            picture(folder / f"train/{wnid}/images/{wnid}_{number}.JPEG", color)
    picture(folder / "train/n01/images/n01_3.JPEG", 128)
    picture(folder / "val/images/val_0.JPEG", COLORS["n02"])
    picture(folder / "val/images/val_1.JPEG", COLORS["n01"])
    rows = ["val_0.JPEG\tn02\t0\t0\t62\t62", "val_1.JPEG\tn01\t0\t0\t62\t62"]
    (folder / "val/val_annotations.txt").write_text("\n".join(rows) + "\n")
    (folder / "wnids.txt").write_text("n02\nn01\n")
    words = "n00\tentity\nn01\tgoldfish, Carassius auratus\nn02\tbullfrog\n"
    (folder / "words.txt").write_text(words)
    return folder


def test_a_recipe_reads_the_file(folder, tmp_path, monkeypatch):
    out = tmp_path / "tiny_imagenet.npz"
    monkeypatch.setattr(sys, "argv", ["tiny_imagenet.py", str(folder), "--out", str(out)])
    runpy.run_path(str(ROOT / "examples/tiny_imagenet.py"), run_name="__main__")
    train = keras_staa.data.images(out, "train", shuffle=False, batch_size=7)
    assert train.classes == ["goldfish", "bullfrog"]
    x, y = train[0]
    assert sorted(y) == [0, 0, 0, 0, 1, 1, 1]
    # A red and a blue class, and one grey image of the latter.
    blue, red = x[..., 2].mean((1, 2)) * 255, x[..., 0].mean((1, 2)) * 255
    grey = np.abs(red - blue) < 2
    assert grey.sum() == 1 and y[grey] == 0
    np.testing.assert_array_equal(y[~grey], (red > blue)[~grey])
    x, y = keras_staa.data.images(out, "test", shuffle=False)[0]
    np.testing.assert_array_equal(y, [1, 0])
    np.testing.assert_allclose(x[0, 0, 0] * 255, COLORS["n02"], atol=3)
