"""The networks trained on recordings, on recordings they have not seen, read from the files."""

import numpy as np
import pytest

from keras_staa import zoo
from tests.real import ROOT, nmnist

OF_NMNIST = [n for n in zoo.list_models() if zoo.describe(n)["data_set"] == "nmnist1k"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nmnist1k")
    nmnist(folder, "*.bin")
    return folder


@pytest.mark.parametrize("name", OF_NMNIST)
@pytest.mark.heavy
def test_the_test_recordings_are_recognized_as_stated(name, folder, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "examples")
    import recordings

    preset = zoo.describe(name)
    training = preset["training"]
    cache = {"cache_dir": folder / "cache", "verbose": False}
    # Read by what the card says; the fingerprint says that they are the recordings measured then.
    test = recordings.described(
        training["test_data"], folder, shuffle=False, normalize=training["normalize"], **cache
    )
    labels = np.concatenate([labels for _, labels in test])
    assert len(labels) == preset["accuracy"]["images"] == 100
    guesses = zoo.load(name).predict(test, verbose=0).argmax(-1)
    # Rounding flips single spikes: a recording in a hundred may fall on another side elsewhere.
    assert abs(np.mean(guesses == labels) - preset["accuracy"]["value"]) <= 0.011
