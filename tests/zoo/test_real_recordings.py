"""The networks trained on recordings, on recordings they have not seen, read from the files."""

import pytest

from keras_staa import zoo
from tests.real import nmnist

OF_NMNIST = [n for n in zoo.list_models() if zoo.describe(n)["data_set"] == "nmnist1k"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nmnist1k")
    nmnist(folder, "*.bin")
    return folder


@pytest.mark.parametrize("name", OF_NMNIST)
@pytest.mark.heavy
def test_the_test_recordings_are_recognized_as_stated(name, folder):
    # The fingerprint says that they are the recordings measured then.
    found = zoo.verify(name, folder, cache_dir=folder / "cache")
    assert found.samples == 100 and found.stated == zoo.describe(name)["accuracy"]["value"]
    # Rounding flips single spikes: a recording in a hundred may fall on another side elsewhere.
    assert found.agrees and abs(found.measured - found.stated) <= 0.011


@pytest.mark.parametrize("name", OF_NMNIST)
def test_other_recordings_than_those_of_the_card_are_not_verified(name, folder, tmp_path):
    other = tmp_path / "nmnist1k"
    for of_class in sorted(folder.glob("Test/*")):
        for path in sorted(of_class.iterdir())[1:]:
            target = other / path.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(path)
    with pytest.raises(ValueError, match="must be the recordings that preset"):
        zoo.verify(name, other, cache_dir=tmp_path / "cache")
