"""A folder of recordings, and a way to read it."""

import pytest

from keras_staa import data
from tests.data.support import folder_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return folder_of(tmp_path_factory.mktemp("recordings"))


@pytest.fixture
def read(folder, tmp_path):
    def read(source=folder, steps=3, **arguments):
        options = {"cache_dir": tmp_path / "cache", "processes": 1, "verbose": False}
        return data.events(source, steps, **{**options, **arguments})

    return read
