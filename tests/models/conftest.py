"""A tiny network with random weights, and a preset of it."""

import pytest

from tests.zoo.support import saved, tiny


@pytest.fixture(scope="module")
def model():
    return tiny()


@pytest.fixture(scope="module")
def preset(model, tmp_path_factory):
    return saved(tmp_path_factory.mktemp("presets") / "tiny_w4_t1.noise", model)
