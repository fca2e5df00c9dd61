"""The plot of a preset's history."""

import sys

import pytest

import keras_staa
from tests.real import ROOT

pytest.importorskip("matplotlib")
sys.path.insert(0, str(ROOT / "examples"))
import plot_history  # noqa: E402

pytestmark = pytest.mark.once


def test_columns_without_a_number_in_each_epoch_are_left_out(tmp_path):
    history = tmp_path / "history.csv"
    history.write_text("epoch,accuracy,loss,val_loss\n0,0.25,2.0,NA\n1,0.5,1.5,1.75\n")
    assert plot_history.epochs(history) == {"accuracy": [0.25, 0.5], "loss": [2.0, 1.5]}


@pytest.mark.parametrize("name", keras_staa.zoo.list_models())
def test_every_preset_has_a_picture(name, tmp_path):
    plot_history.main([str(name), "--out", str(tmp_path / "p.png")])
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    assert [p.name for p in tmp_path.iterdir()] == ["p.png"]
