"""The names of data sets against the classes of tonic, which read files as they are downloaded."""

import numpy as np
import pytest

from keras_staa import data
from tests.data.formats import files

tonic = pytest.importorskip("tonic")

COUNT = 200


def made(seed):
    return files.events(COUNT, seed=seed, size=(30, 30))


def dvs_gesture(path, events):
    columns = [events[name].astype("float64") for name in "xypt"]
    np.save(path, np.stack(columns, axis=1))  # Its times are milliseconds.


def asl_dvs(path, events):
    from scipy import io

    names = {"ts": events["t"], "x": events["x"], "y": events["y"], "pol": events["p"]}
    io.savemat(path, {name: values[:, None] for name, values in names.items()})


# The archive that tonic looks for, and each recording: its path, its class and its writer.
DIGITS = [f"{digit}/{index:05}.bin" for digit in (0, 7) for index in (2, 10)]
NMNIST = [(f"{part}/{name}", name[0]) for part in ("Train", "Test") for name in DIGITS]
CIFAR10 = [(f"{c}/cifar10_{c}_{k}.aedat4", c) for c in ("bird", "airplane") for k in range(12)]
GESTURE = [
    (f"ibmGesture{part}/user{user:02}_{light}/{k}.npy", k)
    for part, user in (("Train", 2), ("Train", 10), ("Test", 24))
    for light in ("led", "fluorescent_led")
    for k in (0, 10)
]
CALTECH = [
    (f"Caltech101/{c}/image_{k:04}.bin", c) for c in ("Motorbikes", "ant") for k in range(1, 4)
]
ASL = [(f"{letter}/{letter}_{k:04}.mat", letter) for letter in "ay" for k in (1, 2)]
SETS = {
    "nmnist": ("NMNIST", ("train.zip", "test.zip"), NMNIST, files.nmnist),
    "cifar10_dvs": ("CIFAR10DVS", ("CIFAR10DVS.zip",), CIFAR10, files.aedat4),
    "dvs128_gesture": (
        "DVSGesture",
        ("ibmGestureTrain.tar.gz", "ibmGestureTest.tar.gz"),
        GESTURE,
        dvs_gesture,
    ),
    "ncaltech101": ("NCALTECH101", ("N-Caltech101-archive.zip",), CALTECH, files.nmnist),
    "asl_dvs": ("ASLDVS", ("ASLDVS.zip",), ASL, asl_dvs),
}
NEEDS = {"cifar10_dvs": "aedat", "asl_dvs": "scipy"}


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Data sets read by name from files that lie as tonic leaves them, few as they are."""
    monkeypatch.setattr(
        tonic.dataset.Dataset, "_folder_contains_at_least_n_files_of_type", lambda *_: True
    )

    def download(*_):
        raise AssertionError("tonic does not take the files for its own")

    monkeypatch.setattr(tonic.dataset.Dataset, "download", download)

    def read(name, split=None):
        pytest.importorskip(NEEDS.get(name, "tonic"))
        kind, archives, recordings, write = SETS[name]
        for archive in archives:
            (tmp_path / kind).mkdir(exist_ok=True)
            (tmp_path / kind / archive).touch()
        for seed, (path, _) in enumerate(recordings):
            path = tmp_path / kind / path
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path, made(seed))
        options = {"cache_dir": tmp_path / "cache", "processes": 1, "verbose": False}
        options |= {"data_dir": tmp_path, "split": split, "shuffle": False, "batch_size": 64}
        return data.events(name, 2, **options)

    return read


def counts(seed, size, change):
    """OFF and ON events of each pixel, added up one by one."""
    found = np.zeros((*size, 2), "float32")
    for x, y, _, p in change(made(seed)).tolist():
        found[y, x, p] += 1
    return found


def same(events):
    return events


def from_the_corner(events):
    events["x"] -= events["x"].min()
    events["y"] -= events["y"].min()
    return events


def upside_down(events):
    events["y"] = 179 - events["y"]
    return events


@pytest.mark.parametrize(
    "name, size, classes, change",
    [
        ("nmnist", (34, 34), 10, same),
        ("cifar10_dvs", (128, 128), 10, same),
        ("dvs128_gesture", (128, 128), 11, same),
        ("ncaltech101", (180, 240), 2, from_the_corner),
        ("asl_dvs", (180, 240), 26, upside_down),
    ],
)
def test_frames_and_labels_are_those_of_the_files(read, name, size, classes, change):
    dataset = read(name, "all")
    recordings = SETS[name][2]
    assert dataset.sensor_size == size and len(dataset.classes) == classes
    assert sorted(dataset.cache.names) == sorted(path for path, _ in recordings)
    frames, labels = dataset[0]
    seeds = {path: seed for seed, (path, _) in enumerate(recordings)}
    for found, label, path in zip(frames, labels, dataset.cache.names, strict=True):
        np.testing.assert_array_equal(found.sum(0), counts(seeds[path], size, change))
        t = made(seeds[path])["t"] * (1000 if name == "dvs128_gesture" else 1)
        early = np.count_nonzero(t < t[0] + (t[-1] - t[0]) // 2)
        assert found[0].sum() == early
        truth = recordings[seeds[path]][1]
        named = dataset.classes[label]
        assert label == truth if isinstance(truth, int) else named.startswith(truth)


@pytest.mark.parametrize("name, part", [("nmnist", "T"), ("dvs128_gesture", "ibmGestureT")])
def test_official_splits(read, name, part):
    for split in ("train", "test"):
        wanted = [path for path, _ in SETS[name][2] if path.startswith(part + split[1:])]
        found = read(name, split).cache.names
        assert sorted(found) == sorted(wanted) and len(found) >= 4
    assert read(name).description["split"] == "train"
    if name == "nmnist":
        # 2 before 10, though tonic sorts by letters.
        assert found[:2] == ["Test/0/00002.bin", "Test/0/00010.bin"]


def test_cifar10_dvs_trains_on_nine_tenths_of_each_class(read):
    train, test = (read("cifar10_dvs", split).cache.names for split in ("train", "test"))
    assert train[:10] == [f"airplane/cifar10_airplane_{k}.aedat4" for k in range(10)]
    assert test == [f"{c}/cifar10_{c}_{k}.aedat4" for c in ("airplane", "bird") for k in (10, 11)]
    assert not set(train) & set(test) and len(train) == 20


@pytest.mark.parametrize("name", ["ncaltech101", "asl_dvs"])
def test_sets_without_a_split_are_all(read, name):
    assert read(name).description["split"] == "all"
    with pytest.raises(ValueError, match=r"`split` must be one of \['all'\]"):
        read(name, "train")
