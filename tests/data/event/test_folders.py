"""How folders of recordings are read: classes, splits and what is neither."""

import os
import warnings

import pytest

from keras_staa.data.event.sources import find_source
from keras_staa.data.listing import select
from tests.data.formats import files

pytestmark = pytest.mark.once


def folder_of(folder, *paths):
    """Make recordings, and files that are none, at some paths in a folder."""
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        if path.endswith(".bin"):
            files.nmnist(folder / path, files.events(10))
        else:
            (folder / path).write_text("note")
    return folder


def read(folder):
    """The classes, and the names and classes of each split's recordings; no warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = find_source(folder, None)
    return found.classes, {
        split: {r.name: found.classes[r.label] for r in recordings}
        for split, recordings in found.splits.items()
    }


@pytest.mark.parametrize(
    "names",
    [
        {"train": "train", "test": "test"},
        {"Training": "train", "Testing": "test"},
        {"test": "test", "validation": "validation"},
        {"train": "train", "val": "validation"},
        {"TRAIN": "train", "valid": "validation", "test": "test"},
        {"n-cars_train": "train", "n-cars_test": "test"},
        {"test-set": "test", "train-set": "train", "val-set": "validation"},
        {"gestureTrain": "train", "gestureTest": "test"},
        {"Events Training": "train", "events val": "validation"},
        {"test": "test"},
        {"val": "validation"},
    ],
)
def test_folders_of_splits(tmp_path, names):
    folder_of(tmp_path, *(f"{name}/{c}/{c}.bin" for name in names for c in ("cat", "dog")))
    classes, splits = read(tmp_path)
    assert classes == ["cat", "dog"]
    wanted = {split: {f"{name}/{c}/{c}.bin": c for c in classes} for name, split in names.items()}
    assert splits == wanted
    source = find_source(tmp_path, None)
    assert len(select(source, "all")) == 2 * len(names)
    for split in names.values():
        found = select(source, split)
        assert {r.name for r in found} == set(wanted[split])


@pytest.mark.parametrize("below", ["", "day1/"])
@pytest.mark.parametrize(
    "names",
    [
        ("bullet_train", "steam_train"),
        ("bullet_train", "bus"),
        ("contest", "latest"),
        ("train", "bus", "car"),
    ],
)
def test_classes_whose_names_hold_those_of_splits(tmp_path, names, below):
    folder_of(tmp_path, *(f"{name}/{below}{k}.bin" for name in names for k in range(2)))
    if "train" in names and below:
        with pytest.raises(ValueError, match=r"\['train'\] lie beside \['bus', 'car'\]"):
            find_source(tmp_path, None)
        return
    classes, splits = read(tmp_path)
    assert classes == sorted(names) and list(splits) == ["train"]
    assert set(splits["train"].values()) == set(names) and len(splits["train"]) == 2 * len(names)


@pytest.mark.parametrize(
    "paths, message",
    [
        # Splits and something else, or one split twice.
        (["train/0/a.bin", "test/0/a.bin", "extra/0/a.bin"], r"\['test', 'train'\].*\['extra'\]"),
        (["train/a.bin", "test/a.bin", "extra/a.bin"], r"\['test', 'train'\].*\['extra'\]"),
        (["train/0/a.bin", "0/a.bin"], r"\['train'\].*\['0'\]"),
        (["val/0/a.bin", "train/0/a.bin", "Validation/0/a.bin"], "'Validation' and 'val'"),
        (["a_train/0/a.bin", "a_test/0/a.bin", "b_train/0/a.bin", "b_test/0/a.bin"], "'a_test'"),
        # No classes.
        (["train/a.bin", "test/a.bin"], "a folder for each class.*(test|train).*without any"),
        (["a.bin"], "a folder for each class.*without any"),
        # A level too high.
        (["set/0/a.bin", "set/1/a.bin"], "'set' alone.*give '.*set'"),
        (["train/set/0/a.bin", "train/set/1/a.bin"], "'set' alone.*give '.*train/set'"),
        (["set/train/0/a.bin", "set/test/0/a.bin"], r"\['test', 'train'\] in '.*set'"),
        (["a/Train/0/a.bin", "b/Train/0/a.bin", "c/0/a.bin"], r"\['Train'\] in '.*a'"),
        (["cat/train/a.bin", "cat/test/a.bin", "dog/train/a.bin"], r"\['test', 'train'\] in"),
        # Those of the official layout of DVS128 Gesture are of persons.
        (["ibmTrain/user1/0.bin", "ibmTest/user2/0.bin"], r"'ibmTest' has \['user2'\], which 'ibm"),
        (["train/cat/a.bin", "test/Cat/a.bin"], r"'test' has \['Cat'\], which 'train' has not"),
    ],
)
def test_what_cannot_be_told_is_an_error(tmp_path, paths, message):
    with pytest.raises(ValueError, match=f"`source` must hold .*{message}") as error:
        find_source(folder_of(tmp_path, *paths), None)
    assert str(tmp_path) in str(error.value)


@pytest.mark.parametrize(
    "paths, classes, message",
    [
        (
            ["a/0/a.bin", "a/1/a.bin", "b/0/a.bin", "b/1/a.bin"],
            ["a", "b"],
            r"taken to be \['a', 'b'\]",
        ),
        (
            ["train/0/a.bin", "test/0/a.bin", "test/1/a.bin"],
            ["0", "1"],
            r"'test' has \['1'\], which 'train' has not",
        ),
        (["0/a.bin", "1/a.bin", "b.bin"], ["0", "1"], "1 recordings lie in no .*b.bin"),
        (["train/0/a.bin", "train/1/a.bin", "train/c.bin"], ["0", "1"], "1 recordings.*train/c"),
        (["0/a.bin", "0/b.txt", "1/a.bin", "readme.txt"], ["0", "1"], "1 files.*0/b.txt"),
    ],
)
def test_what_is_doubtful_is_a_warning(tmp_path, paths, classes, message):
    with pytest.warns(UserWarning, match=message) as caught:
        found = find_source(folder_of(tmp_path, *paths), None)
    assert found.classes == classes and len(caught) == 1


def test_hidden_and_foreign_folders_and_files_do_not_count(tmp_path):
    wanted = {"cat/a.bin": "cat", "cat/deep/b.bin": "cat", "dog/a.bin": "dog"}
    folder_of(
        tmp_path,
        *wanted,
        "cat/.ipynb_checkpoints/a-checkpoint.bin",
        "cat/.ipynb_checkpoints/old/a.bin",
        "cat/.hidden.bin",
        "cat/deep/.cache/a.bin",
        ".ipynb_checkpoints/a.bin",
        "__MACOSX/cat/._a.bin",
        "dog/__pycache__/a.bin",
        "readme.md",
    )
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots").rmdir()
    assert read(tmp_path) == (["cat", "dog"], {"train": wanted})


def test_links_are_followed(tmp_path):
    elsewhere = folder_of(tmp_path / "elsewhere", "x/a.bin", "x/more/b.bin", "dog/a.bin", "c.bin")
    folder = folder_of(tmp_path / "set", "cat/a.bin")
    os.symlink(elsewhere / "x", folder / "cat" / "linked")
    os.symlink(elsewhere / "dog", folder / "dog")
    os.symlink(elsewhere / "c.bin", folder / "cat" / "c.bin")
    wanted = {"cat/a.bin", "cat/c.bin", "cat/linked/a.bin", "cat/linked/more/b.bin", "dog/a.bin"}
    assert set(read(folder)[1]["train"]) == wanted
    # The two lead to each other, by way of neither being in the other.
    os.symlink(folder / "cat", elsewhere / "x" / "back")
    with pytest.raises(ValueError, match="no links in a circle.*back' leads to a folder that it"):
        find_source(folder, None)


@pytest.mark.parametrize("name", ["cat/b.bin", "cat/folder", "bird"])
def test_broken_links_are_an_error(tmp_path, name):
    folder_of(tmp_path, "cat/a.bin", "dog/a.bin")
    os.symlink(tmp_path / "gone", tmp_path / name)
    with pytest.raises(ValueError, match=f"no broken links.*{name}' leads nowhere"):
        find_source(tmp_path, None)


def test_order_of_classes_and_recordings(tmp_path):
    names = [f"{c}/r{i}.bin" for c in ("10", "2", "a") for i in (10, 2, 1)]
    found = find_source(folder_of(tmp_path, *names), None)
    assert found.classes == ["2", "10", "a"]
    wanted = [f"{c}/r{i}.bin" for c in ("2", "10", "a") for i in (1, 2, 10)]
    assert [r.name for r in found.splits["train"]] == wanted
