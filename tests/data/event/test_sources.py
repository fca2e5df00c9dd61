"""Data set objects, names and arguments of `events`."""

import os
import pathlib

import keras
import numpy as np
import pytest

from keras_staa import data
from keras_staa.data.event import sources
from tests.data.support import Objects, expected, folder_of


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_an_object_of_events_and_targets(read, processes):
    dataset = read(Objects(), processes=processes)
    assert dataset.classes == ["a", "b"] and not dataset.shuffle
    frames_, labels = dataset[0]
    assert labels.tolist() == [0, 0, 1, 1]
    for place, index in enumerate([1, 3, 0, 2]):
        np.testing.assert_array_equal(frames_[place], expected(0, index, 3))
    with pytest.raises(ValueError, match=r"`split` must be one of \['all'\] of Objects.*'train'"):
        read(Objects(), split="train")


class Labelled(Objects):
    """The same with other targets and classes."""

    def __init__(self, targets, classes=None):
        self.targets, self.classes = targets, classes


@pytest.mark.parametrize(
    "targets, classes, names, labels",
    [
        (np.array([1, 0, 2, 0], "uint8"), ["x", "a", "c"], ["x", "a", "c"], [1, 0, 2, 0]),
        ([np.int64(1), 0, 1, True], ("x", "a"), ["x", "a"], [1, 0, 1, 1]),
        (keras.ops.convert_to_tensor([1, 0, 2, 0]), None, ["0", "1", "2"], [1, 0, 2, 0]),
        ([1, 0, 2, 0], {"z": 2, "a": np.int32(0), "b": 1}, ["a", "b", "z"], [1, 0, 2, 0]),
        (["b", "a", "b", "c"], None, ["a", "b", "c"], [1, 0, 1, 2]),
        # One of which it has no recording, in an order of its own.
        (np.array(["b", "a", "b", "a"]), np.array(["c", "b", "a"]), ["c", "b", "a"], [1, 2, 1, 2]),
    ],
)
def test_targets_of_objects(targets, classes, names, labels):
    source = sources.find_source(Labelled(targets, classes), None)
    assert source.classes == names
    found = {r.address[1]: r.label for r in source.splits["all"]}
    assert [found[index] for index in range(4)] == labels


@pytest.mark.parametrize("classes", [["a", "b", "c"], {"a": 0, "b": 1, "c": 2}])
@pytest.mark.parametrize(
    "targets, found",
    [
        ([0, -1, 1, 2], r"targets\[1\]=-1"),
        ([0, 1, 2, 3], r"targets\[3\]=3"),
        ([0, 1, 2, 1.7], r"targets\[3\]=1.7"),
        (np.array([0.0, 1, 2, 1]), r"targets\[0\]=np.float64\(0.0\)"),
        (np.eye(4, 3), r"targets\[0\]=array\(\[1., 0., 0.\]\)"),
        (np.eye(4, 3, dtype=int).tolist(), r"targets\[0\]=\[1, 0, 0\]"),
        ([0, 1, None, 1], r"targets\[2\]=None"),
        ([0, 1, "a", 1], r"targets\[2\]='a'"),
        (["a", "b", 1, "a"], r"targets\[2\]=1"),
        (["a", "b", "d", "a"], r"targets\[2\]='d'"),
        ([b"a", b"b", b"c", b"a"], r"targets\[0\]=b'a'"),
        ([0, 1], "2 targets for 4 recordings"),
        ([], "0 targets for 4 recordings"),
        (None, "0 targets for 4 recordings"),
    ],
)
def test_other_targets_are_refused(read, targets, classes, found):
    wanted = r"`source` must have `targets`.*integers in \[0, 3\), or strings.*"
    with pytest.raises(ValueError, match=f"{wanted}source=Labelled with {found}"):
        read(Labelled(targets, classes))


def test_targets_without_classes_have_a_bound(read):
    with pytest.raises(ValueError, match=r"\[0, 65536\).*targets\[2\]=10000000000"):
        read(Labelled([0, 1, 10**10, 1]))


@pytest.mark.parametrize(
    "classes", [{"a": 1, "b": 2}, {0: "b", 1: "a"}, {"a": 0, "b": 0}, ["a", "a"], 2, "ab"]
)
def test_classes_of_objects_that_give_no_order_are_refused(read, classes):
    with pytest.raises(ValueError, match="`classes` of `source` must be .*classes="):
        read(Labelled([1, 0, 1, 0], classes))


def test_a_name_that_is_a_folder_too_is_refused(read, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sources, "_of_name", lambda *_: pytest.fail("the data set is downloaded"))
    folder = folder_of(tmp_path / "nmnist", count=2)
    with pytest.raises(ValueError, match="`source` must be a name or a folder.*") as error:
        read("nmnist")
    assert repr(str(folder)) in str(error.value) and "'./nmnist'" in str(error.value)
    for path in ("./nmnist", folder.relative_to(tmp_path), folder):
        assert len(read(path).cache.names) == 6


def test_a_folder_that_tonic_cannot_write_to_is_named(read, tmp_path, monkeypatch):
    tonic = pytest.importorskip("tonic")

    def make(save_to, **_):
        os.makedirs(os.path.join(save_to, "NMNIST"))

    monkeypatch.setattr(tonic.datasets, "NMNIST", make)
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OSError, match="data set 'nmnist' is not in data_dir=.*file/data'") as error:
        read("nmnist", data_dir=tmp_path / "file" / "data")
    assert isinstance(error.value.__cause__, NotADirectoryError)


def test_the_folder_that_tonic_made_is_no_other_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sources, "_of_name", lambda name, where: (name, where))
    (tmp_path / "NMNIST").mkdir()
    os.symlink("NMNIST", "nmnist")  # As where file names have no case.
    assert sources.find_source("nmnist", ".") == ("nmnist", pathlib.Path("."))


def test_names_stand_for_the_classes_of_tonic(read, monkeypatch):
    tonic = pytest.importorskip("tonic")

    class NMNIST(Objects):
        def __init__(self, save_to, train):
            self.train = train

    class CIFAR10DVS(Objects):
        targets = [0] * 10 + [1] * 20

        def __init__(self, save_to):
            pass

        def __len__(self):
            return 30

    monkeypatch.setattr(tonic.datasets, "NMNIST", NMNIST)
    monkeypatch.setattr(tonic.datasets, "CIFAR10DVS", CIFAR10DVS)
    assert [len(read("nmnist", split=s).cache.names) for s in ("train", "test", "all")] == [4, 4, 8]
    train, test = read("cifar10_dvs"), read("cifar10_dvs", split="test")
    assert np.bincount(train.cache.labels).tolist() == [9, 18]
    assert test.cache.names == ["9", "28", "29"]
    for kind, _, _ in sources.NAMES.values():
        assert hasattr(tonic.datasets, kind)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"source": "nowhere"}, "`source` must be one of .*'nowhere'"),
        ({"source": 3}, "`source` must be .*source=3"),
        ({"steps": 0}, "`steps` must be a positive integer"),
        ({"by": "both"}, r"`by` must be one of \['time', 'count'\]"),
        ({"split": "test"}, r"`split` must be one of \['train', 'all'\].*'all\[:90%\]'.*'test'"),
        ({"split": "train[:1%]"}, "`split` must leave recordings of each class.*class '2'"),
        ({"split": "train[0.5:]"}, "`split` must be"),
        ({"size": 35}, r"`size` must be at most the sensor's \(34, 34\).*\(35, 35\)"),
        ({"size": (1, 2, 3)}, "`size` must be an integer or"),
        ({"window": -1}, "`window` must be a positive number"),
        ({"stride": 1}, "`stride` must be None without `window`"),
        ({"window": 1e-6}, "at least one microsecond per step"),
        ({"augment": "mirror"}, "`augment` must be one of"),
        ({"augment": keras.layers.RandomContrast(0.1)}, "`augment` must be .*'RandomFlip', 'R"),
        (
            {"augment": keras.layers.RandomFlip(), "use_multiprocessing": True},
            "`use_multiprocessing` must be False with layers of keras.layers",
        ),
        ({"augment": data.FrameMixUp()}, "`one_hot` must be True"),
        ({"seed": -1}, "`seed` must be a non-negative integer"),
        ({"batch_size": 0}, "`batch_size` must be a positive integer"),
        ({"processes": 0}, "`processes` must be a positive integer"),
        ({"shuffle": 1}, "`shuffle` must be True or False"),
    ],
)
def test_errors_name_the_argument(read, arguments, message):
    with pytest.raises(ValueError, match=message):
        read(**arguments)
