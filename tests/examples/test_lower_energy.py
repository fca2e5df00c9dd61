"""The example of fewer spikes: its table, from a short training on random images."""

import sys

import numpy as np
import pytest

from keras_staa import insight, zoo
from tests.real import ROOT

pytestmark = [pytest.mark.once, pytest.mark.slow]


def test_the_table(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(ROOT / "examples")
    import lower_energy

    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (64, 32, 32, 3), dtype="uint8"), np.arange(64) % 10
    test = {"x_test": images[:8], "y_test": labels[:8]}
    np.savez(tmp_path / "data.npz", x_train=images, y_train=labels, **test)
    given = "--strengths 300 --epochs 1 --batches 2 --test-samples 8 --target 0 --plot"
    given = [*given.split(), str(tmp_path / "energy.png"), "--data", str(tmp_path / "data.npz")]
    monkeypatch.setattr(sys, "argv", ["lower_energy.py", *given])
    lower_energy.main()
    table = capsys.readouterr().out.split("\n\n")[-1].strip().splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]
    assert [row[0] for row in rows] == ["as published", "0.0", "300.0"]
    x = images[:8].astype("float32") / 255
    found = insight.report(zoo.load("vgg_w32_t2.cifar10"), x, verbose=0)
    assert rows[0][1:3] == [f"{found.firing_rate:.2%}", f"{found.energy:.4f}"]
    # A strong penalty has fewer spikes than the same training without.
    assert float(rows[2][1].strip("%")) < float(rows[1][1].strip("%"))
    assert (tmp_path / "energy.png").stat().st_size > 1000
