"""The plot of a preset's history."""

import sys

import pytest

import keras_staa
from tests.real import ROOT

pytest.importorskip("matplotlib")
sys.path.insert(0, str(ROOT / "examples"))
import plot_history  # noqa: E402

pytestmark = pytest.mark.once


@pytest.mark.parametrize("name", keras_staa.zoo.list_models())
def test_every_preset_has_a_picture(name, tmp_path):
    plot_history.main([str(name), "--out", str(tmp_path / "p.png")])
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    assert [p.name for p in tmp_path.iterdir()] == ["p.png"]
