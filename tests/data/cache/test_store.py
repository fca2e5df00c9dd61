"""The file and folder of a cache: versions of HDF5, what kills leave, what cannot be written."""

import os
import threading
import time
import warnings

import h5py
import numpy as np
import pytest

from keras_staa import data, file_lock
from keras_staa.data.cache import journal, store
from tests.data.formats import files

pytestmark = pytest.mark.once


@pytest.fixture
def folder(tmp_path):
    for label, name in enumerate(("cat", "dog")):
        (tmp_path / "set" / name).mkdir(parents=True)
        for index in range(3):
            made = files.events(200, seed=10 * label + index)
            files.nmnist(tmp_path / "set" / name / f"{index}.bin", made)
    return tmp_path / "set"


@pytest.fixture
def read(folder, tmp_path):
    def read(**arguments):
        options = {"cache_dir": tmp_path / "cache", "processes": 1, "verbose": False}
        return data.events(folder, 2, shuffle=False, **{**options, **arguments})

    return read


def only(folder):
    (path,) = folder.iterdir()
    return path


def place_of_layout(path):
    """Where the file has the version of the layout message of its frames, byte by byte."""
    with h5py.File(path) as file:
        place = h5py.h5o.get_info(file["frames"].id).addr
    raw = path.read_bytes()
    place += 0 if raw[place : place + 4] == b"OHDR" else 512
    assert raw[place : place + 5] == b"OHDR\x02"
    flags = raw[place + 5]
    place += 6 + (16 if flags & 32 else 0) + (4 if flags & 16 else 0) + 2 ** (flags & 3)
    while raw[place] != 8:
        assert raw[place] in (0, 1, 3, 5, 11, 12, 16, 21, 22)  # Messages that may come before it.
        size = int.from_bytes(raw[place + 1 : place + 3], "little")
        place += 4 + (2 if flags & 4 else 0) + size
    return place + 4 + (2 if flags & 4 else 0)


def test_the_file_format_is_that_of_hdf5_1_10_whatever_the_version(read, tmp_path, monkeypatch):
    bounds = []

    class Noted(h5py.File):
        def __init__(self, name, mode="r", **more):
            super().__init__(name, mode, **more)
            if mode == "w":
                bounds.append(self.libver)  # As the library has it.

    monkeypatch.setattr(h5py, "File", Noted)
    read()
    assert bounds == [("v110", "v110")]
    path = only(tmp_path / "cache")
    raw = path.read_bytes()
    assert raw[512:520] == b"\x89HDF\r\n\x1a\n" and raw[520] <= 3
    assert raw[place_of_layout(path)] <= 4


def later_version(path):
    # HDF5 2.0 writes 5 there, unless told otherwise.
    raw = bytearray(path.read_bytes())
    raw[place_of_layout(path)] = 5
    path.write_bytes(raw)


def no_hdf5(path):
    path.write_bytes(bytes(512) + b"no HDF5" * 100)


def other_contents(path):
    with h5py.File(path, "r+") as file:
        del file["frames"]


def other_parameters(path):
    with h5py.File(path, "r+") as file:
        file.attrs["stated"] = "{}"


def no_statement(path):
    with h5py.File(path, "r+") as file:
        del file.attrs["stated"]


@pytest.mark.parametrize(
    "change", [later_version, no_hdf5, other_contents, other_parameters, no_statement]
)
def test_a_whole_file_that_cannot_be_opened_is_built_again(read, tmp_path, change):
    wanted = read()[0][0]
    path = only(tmp_path / "cache")
    change(path)
    with open(path, "r+b") as file:  # Its checksum is right.
        file.seek(512)
        head = store._head(file)
        file.seek(0)
        file.write(head)
    with pytest.warns(UserWarning, match=f"{path.name} cannot be opened .*; it is built again"):
        np.testing.assert_array_equal(read()[0][0], wanted)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read()
    assert only(tmp_path / "cache") == path


def test_what_kills_left_is_removed_and_nothing_else(read, tmp_path):
    cache = tmp_path / "cache"
    cache.mkdir()
    key = "0123456789abcdef"
    left = [f"a-train-{key}.tmp", f"b-train-{key}.lock", f"c-train-{key}.partial"]
    held = [f"held-train-{key}.tmp", f"held-train-{key}.lock"]
    others = ["uv.lock", "mine.tmp", "mine.partial", f"d-train-{key}.h5", f"e-train-{key}.partial"]
    for name in (*left, *held, *others):
        (cache / name).write_text("left")
        if not name.startswith("e-"):
            os.utime(cache / name, (1, 1))
    with file_lock.alone(cache / held[1]):
        made = read().cache.path
        assert {p.name for p in cache.iterdir()} == {*held, *others, os.path.basename(made)}
    read(size=17)
    assert not [name for name in held if (cache / name).exists()]


def test_builds_that_have_one_journal_wait_for_each_other(read, monkeypatch):
    inside, most, paths, add = [], [], set(), journal.Journal.add

    def slow(journal, *record):
        paths.add(journal.path)
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.02)
        add(journal, *record)
        inside.pop()

    monkeypatch.setattr(journal.Journal, "add", slow)
    found = {}

    def work(size):
        found[size] = read(size=size)

    # The frames are the same, what was asked for is not.
    threads = [threading.Thread(target=work, args=(size,)) for size in (None, 34)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(paths) == 1 and set(most) == {1} and len(most) == 12
    np.testing.assert_array_equal(found[None][0][0], found[34][0][0])


@pytest.mark.parametrize("given", [True, False])
def test_a_folder_that_cannot_be_made_is_named(read, tmp_path, monkeypatch, given):
    (tmp_path / "file").write_text("no folder")
    path = tmp_path / "file" / "cache"
    if not given:
        monkeypatch.setenv("HOME", str(tmp_path / "file"))
        monkeypatch.setenv("USERPROFILE", str(tmp_path / "file"))
    with pytest.raises(NotADirectoryError, match="`cache_dir` must be a folder.*Received") as error:
        read(cache_dir=path if given else None)
    assert f"cache_dir={str(path) if given else None!r}" in str(error.value)
    assert str(tmp_path / "file") in str(error.value)


def test_no_home_and_a_file_in_place_of_the_folder_are_named(read, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    for name in (tmp_path / "file", "~no_such_user/cache"):
        with pytest.raises(OSError, match="`cache_dir` must be a folder"):
            read(cache_dir=name)


def test_a_folder_that_cannot_be_written_to_is_named_unless_it_has_the_cache(
    read, tmp_path, monkeypatch
):
    cache = tmp_path / "cache"
    read()
    cache.chmod(0o500)
    if os.access(cache, os.W_OK):  # As the superuser.

        def refuse(path, mode="r", *more, **options):
            if "a" in mode or "w" in mode:
                raise PermissionError(13, "Permission denied", str(path))
            return open(path, mode, *more, **options)

        monkeypatch.setattr(file_lock, "open", refuse, raising=False)
    try:
        read()
        with pytest.raises(PermissionError, match="`cache_dir` must be a folder") as error:
            read(size=17)
        assert repr(str(cache)) in str(error.value)
    finally:
        cache.chmod(0o700)
