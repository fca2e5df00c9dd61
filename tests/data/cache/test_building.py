"""Caches of frames: built once, gone on with after kills and errors, never half-written."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
import warnings

import h5py
import numpy as np
import pytest

from keras_staa import file_lock
from keras_staa.data.cache.journal import Journal
from keras_staa.data.event import frames
from tests.data.formats import files
from tests.data.support import caches, expected, folder_of, joined


def test_locks_are_removed_and_still_lock(tmp_path, request):
    path, inside, most = tmp_path / "a.lock", [], []
    # Threads change between any two steps, so that one removes what another looks at.
    interval = sys.getswitchinterval()
    request.addfinalizer(lambda: sys.setswitchinterval(interval))
    sys.setswitchinterval(1e-6)

    def work():
        for _ in range(300):
            with file_lock.alone(path):
                inside.append(1)
                time.sleep(0.00001)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(most) == {1} and len(most) == 1200
    assert not path.exists()


def test_the_cache_is_used_again_and_never_for_something_else(read, tmp_path, folder):
    read()
    (path,) = (tmp_path / "cache").iterdir()
    made = path.stat().st_mtime_ns
    read(batch_size=7, augment="standard", seed=9)
    assert path.stat().st_mtime_ns == made and caches(tmp_path) == [".h5"]
    for changed in ({"steps": 4}, {"by": "count"}, {"size": 17}, {"split": "train[:2]"}):
        count = len(caches(tmp_path))
        read(**changed)
        assert len(caches(tmp_path)) == count + 1
    with h5py.File(path) as file:
        assert json.loads(file.attrs["parameters"])["steps"] == 3
        assert file["frames"].chunks == (1, 3, 34, 34, 2) and file["frames"].compression == "gzip"
        np.testing.assert_array_equal(file["frames"][5], expected(1, 1, 3))
        assert file.attrs["fingerprint"] == read().description["fingerprint"]


def test_fingerprint_is_of_contents_and_names(read, tmp_path):
    one, other = folder_of(tmp_path / "a" / "set"), folder_of(tmp_path / "b" / "set")
    os.utime(other / "2" / "r0.bin", (1, 1))
    first = read(one)
    assert read(other).fingerprint == first.fingerprint
    assert caches(tmp_path) == [".h5"]
    files.nmnist(other / "2" / "r0.bin", files.events(300, seed=7))
    changed = read(other, shuffle=False)
    assert changed.fingerprint != first.fingerprint and caches(tmp_path) == [".h5", ".h5"]
    np.testing.assert_array_equal(changed[0][0][0], expected(0, 7, 3))
    (other / "2" / "r0.bin").rename(other / "2" / "r9.bin")
    assert read(other).fingerprint not in (first.fingerprint, changed.fingerprint)


@pytest.mark.parametrize("place", [10, 600, 0.5, -1, "cut", "empty"])
def test_a_damaged_cache_is_reported_and_built_again(read, tmp_path, place):
    wanted = joined(read(shuffle=False))
    (path,) = (tmp_path / "cache").glob("*.h5")
    raw = bytearray(path.read_bytes())
    if isinstance(place, str):
        raw = raw[: len(raw) // 2 if place == "cut" else 0]
    else:
        raw[int(place * len(raw)) if isinstance(place, float) else place] ^= 1
    path.write_bytes(raw)
    with pytest.warns(UserWarning, match=f"{path.name} is damaged"):
        found = joined(read(shuffle=False))
    for a, b in zip(wanted, found, strict=True):
        np.testing.assert_array_equal(a, b)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read()


KILLED = """
import time
from keras_staa.data import events
from keras_staa.data.cache.journal import Journal
add = Journal.add
def slow(self, *record):
    add(self, *record)
    print(len(self.done), flush=True)
    time.sleep(0.02)
Journal.add = slow
events({source!r}, 3, cache_dir={cache!r}, processes={processes}, verbose=False)
"""


@pytest.mark.parametrize("processes", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_a_killed_build_goes_on(read, folder, tmp_path, processes, monkeypatch):
    code = KILLED.format(source=str(folder), cache=str(tmp_path / "cache"), processes=processes)
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    while int(child.stdout.readline()) < 5:
        pass
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert caches(tmp_path) == [".partial"]
    (partial,) = (tmp_path / "cache").glob("*.partial")
    with open(partial, "ab") as file:
        file.write(b"KSJ1 cut off")
    added, add = [], Journal.add
    monkeypatch.setattr(Journal, "add", lambda *record: (added.append(1), add(*record)))
    found, _ = joined(read(shuffle=False))
    assert 0 < len(added) <= 7 and caches(tmp_path) == [".h5"]
    for place in range(12):
        np.testing.assert_array_equal(found[place], expected(place // 4, place % 4, 3))


@pytest.mark.slow
def test_killed_at_any_moment_there_is_a_whole_cache_or_none(read, folder, tmp_path):
    code = KILLED.format(source=str(folder), cache=str(tmp_path / "cache"), processes=1)
    code = code.replace("0.02", "0")
    for moment in np.linspace(0, 0.06, 12):
        child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        child.stdout.readline()
        time.sleep(moment)
        child.kill()
        child.wait()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert len(joined(read())[0]) == 12
        for path in (tmp_path / "cache").iterdir():
            path.unlink()


@pytest.mark.slow
def test_two_builders_at_once_make_one_cache(folder, tmp_path):
    code = KILLED.format(source=str(folder), cache=str(tmp_path / "cache"), processes=1)
    children = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for _ in range(2)
    ]
    lines = [child.communicate()[0].split() for child in children]
    assert [child.returncode for child in children] == [0, 0]
    assert sorted(map(len, lines)) == [0, 12]
    assert caches(tmp_path) == [".h5"]


@pytest.mark.parametrize("limit", [pytest.param(3000, marks=pytest.mark.slow), 10_000])
def test_a_full_disk_is_an_error_and_the_next_call_goes_on(folder, tmp_path, read, limit):
    pytest.importorskip("resource")
    code = f"""
import resource, sys
from keras_staa.data import events
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
try:
    events({str(folder)!r}, 3, cache_dir={str(tmp_path / "cache")!r}, processes=1, verbose=False)
except OSError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "No room on the disk" in done.stdout and "recordings are done and kept" in done.stdout
    assert caches(tmp_path) == [".partial"]
    assert len(joined(read())[0]) == 12


def test_a_disk_that_fills_before_the_file_is_made(read, tmp_path, monkeypatch):
    usage = type("usage", (), {"free": 10})
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    with pytest.raises(OSError, match="12 of 12 recordings are done") as caught:
        read()
    assert caught.value.errno == errno.ENOSPC and caches(tmp_path) == [".partial"]
    monkeypatch.undo()
    read()
    assert caches(tmp_path) == [".h5"]


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-2]), r"truncated.*3 too many"),
        (lambda path: path.write_bytes(b""), "must hold events. Received: a file without any"),
        (lambda path: path.write_bytes(bytes([40, 0, 0, 0, 1])), r"every x in \[0, 33\]"),
    ],
)
def test_a_bad_recording_is_named_and_the_others_are_kept(
    read, tmp_path, damage, message, processes
):
    folder = folder_of(tmp_path / "set")
    bad = folder / "cat" / "r3.bin"
    good = bad.read_bytes()
    damage(bad)
    with pytest.raises(ValueError, match=f"cat/r3.bin.*{message}"):
        read(folder, processes=processes)
    bad.write_bytes(good)
    if "truncated" not in message:  # Which is seen before anything is read.
        with Journal(next((tmp_path / "cache").glob("*.partial"))) as journal:
            assert len(journal.done) > 0
    assert len(read(folder).cache.names) == 12


@pytest.mark.parametrize("processes", [1, 2])
def test_events_out_of_order_are_sorted_with_a_warning(read, tmp_path, processes):
    folder = folder_of(tmp_path / "set")
    made = files.events(300, seed=0)
    made["t"] = np.arange(300)
    files.nmnist(folder / "2" / "r0.bin", made[np.r_[1, 0, 2:300]])
    with pytest.warns(UserWarning, match="r0.bin: 1 of 300 events"):
        found = read(folder, shuffle=False, processes=processes)[0][0][0]
    plan = frames.Plan((34, 34), 3, "time", (34, 34))
    np.testing.assert_array_equal(found, next(frames.samples([made], plan))[1])


def test_an_empty_class_a_stray_file_and_no_class(read, tmp_path):
    folder = folder_of(tmp_path / "set")
    (folder / "2" / "notes.txt").write_text("note")
    with pytest.warns(UserWarning, match="1 files are no recordings.*notes.txt"):
        read(folder)
    (folder / "void").mkdir()
    with (
        pytest.raises(ValueError, match="Received: source=.*none in .*void"),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        read(folder)
    (tmp_path / "nothing").mkdir()
    with pytest.raises(ValueError, match="must hold a folder for each class"):
        read(tmp_path / "nothing")


@pytest.mark.parametrize("processes", [1, 2])
def test_mixed_sensor_sizes_are_an_error_with_both_files(read, tmp_path, processes):
    folder = folder_of(tmp_path / "set")
    files.aedat2(folder / "cat" / "r9.aedat", files.events())
    found = r"2/r0.bin with \(34, 34\), cat/r9.aedat with \(128, 128\)"
    with pytest.raises(ValueError, match=found):
        read(folder, processes=processes)


def test_files_that_state_no_sensor_get_one_for_all_splits(read, tmp_path):
    folder = folder_of(tmp_path / "set", kind="npy", parts=("train",), size=(20, 20))
    folder_of(folder, kind="npy", parts=("test",), size=(30, 25))
    assert read(folder).sensor_size == read(folder, split="test").sensor_size == (30, 25)
    assert read(folder, sensor_size=(40, 40))[0][0].shape == (12, 3, 40, 40, 2)


@pytest.mark.parametrize("kind", ["aedat2", "aedat3", "aedat4", "npz", "h5", "mat"])
def test_formats_of_one_content_give_the_same_frames(read, tmp_path, kind):
    made, sensor = files.events(300), files.FORMATS[kind][2] or (34, 34)
    (tmp_path / "set" / "one").mkdir(parents=True)
    files.write(tmp_path / "set" / "one", kind, made)
    dataset = read(tmp_path / "set", sensor_size=sensor, shuffle=False)
    plan = frames.Plan(sensor, 3, "time", sensor)
    np.testing.assert_array_equal(dataset[0][0][0], next(frames.samples([made], plan))[1])
