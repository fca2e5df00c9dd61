"""The tiny factory, which `zoo.load` knows here, and a preset of it to change."""

import shutil

import pytest

from tests.zoo.support import registered, saved


@pytest.fixture(autouse=True)
def tiny_factory(monkeypatch):
    registered(monkeypatch)


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("presets") / "tiny_w4_t1.noise")


@pytest.fixture
def copy(preset, tmp_path):
    """A copy to change."""
    return shutil.copytree(preset, tmp_path / preset.name)
