"""Counters that run over go on; clocks that start again are refused with the size of the jump."""

import re
import struct
import warnings

import h5py
import numpy as np
import pytest

from keras_staa import data
from keras_staa.data import formats
from keras_staa.data.formats.clock import Clock
from tests.data.formats import files

pytestmark = pytest.mark.once

MS = 1000
# 100 ms that pass the end of a counter in their middle.
AROUND = np.arange(-50 * MS, 50 * MS, 2 * MS)


def one_by_one(values, period):
    """What a counter means whose steps are each the shortest way round: a loop, for comparison."""
    times = [int(values[0])]
    for before, value in zip(values[:-1].tolist(), values[1:].tolist(), strict=True):
        step = (value - before + period // 2) % period - period // 2
        times.append(times[-1] + step)
    return times


@pytest.mark.parametrize(
    ("dtype", "bits", "start"),
    [("u4", 32, 0), ("i4", 32, -(2**31)), ("i4", 31, 0), ("u2", 16, 0), ("i2", 15, 0)],
)
@pytest.mark.parametrize("late", [0, 3000])
def test_column_as_wide_as_its_counter(dtype, bits, start, late):
    rng = np.random.default_rng(0)
    # More than two turns of the short counters, one of the long ones.
    true = (
        2**bits - 40 * MS + np.cumsum(rng.integers(MS, size=200)) - rng.integers(late + 1, size=200)
    )
    values = ((true - start) % 2**bits + start).astype(dtype)
    expected = np.array(one_by_one(values, 2**bits))
    np.testing.assert_array_equal(np.diff(expected), np.diff(true))
    for size in (1, 7, 200):
        clock = Clock("a", None)
        pieces = [clock(values[i : i + size]) for i in range(0, 200, size)]
        np.testing.assert_array_equal(np.concatenate(pieces), expected)


def test_event_from_before_the_first_turn():
    values = np.array([3, 2**32 - 5, 8], "u4")
    assert Clock("a")(values).tolist() == [3, -5, 8]
    # A counter so short that a pause is likelier.
    assert Clock("a")(np.array([3, 2**16 - 5], "u2")).tolist() == [3, 2**16 - 5]


@pytest.mark.parametrize("dtype", ["u4", "i4", "i8", "f8"])
def test_pause_is_no_turn(dtype):
    times = np.array([5, 20 * 60 * 10**6, 30 * 60 * 10**6]).astype(dtype)
    assert Clock("a")(times.astype("i8") if dtype == "f8" else times).tolist() == times.tolist()


def counted(path, name, times):
    """A file of a format with a clock of so many bits, and what must be read of it."""
    made = files.events(len(times))
    made["t"] = times
    expected = made.copy()
    bits = {"nmnist": 23, "aedat1": 32, "aedat2": 32, "aedat3": 31, "davis": 32, "dat": 32}
    bits = (bits | {"evt2": 34, "evt3": 24}).get(name)
    if bits:
        made["t"] += 2**bits
        expected["t"] += 2**bits
        made["t"] %= 2**bits
        return files.write(path, name, made), expected
    table = {field: made[field] for field in "xyp"} | {"t": (times % 2**32).astype("u4")}
    expected["t"] += 2**32
    if name == "npy":
        array = np.empty(len(times), [("x", "u2"), ("y", "u2"), ("t", "u4"), ("p", "u1")])
        for field, values in table.items():
            array[field] = values
        np.save(file := path / "a.npy", array)
    elif name == "npz":
        np.savez(file := path / "a.npz", **table)
    elif name == "v2e":
        columns = np.stack([table[field] for field in "txyp"], 1).astype("u4")
        np.save(file := path / "a.npy", columns)
    elif name == "h5":
        with h5py.File(file := path / "a.h5", "w") as group:
            for field, values in table.items():
                group[field] = values
    else:
        pytest.importorskip("scipy.io").savemat(file := path / "a.mat", table)
    return file, expected


@pytest.mark.parametrize(
    "name",
    ["nmnist", "aedat1", "aedat2", "davis", "aedat3", "dat", "evt2", "evt3"]
    + ["npy", "npz", "h5", "mat", "v2e"],
)
def test_recording_that_passes_the_end_of_its_counter(name, tmp_path):
    path, expected = counted(tmp_path, name, AROUND)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        recording = formats.read(path)
        pieces = list(formats.chunks(path, 7))
    np.testing.assert_array_equal(recording.events, expected)
    np.testing.assert_array_equal(np.concatenate(pieces), expected)
    assert recording.duration == 98 * MS


@pytest.mark.parametrize("name", files.FORMATS)
def test_clock_that_started_again(name, tmp_path):
    made = files.events()
    made["t"] = 5 * MS * np.arange(40)
    made["t"][20:] -= made["t"][20]
    path = files.write(tmp_path, name, made)
    where = "event 20 at 0 us after one at 95000 us, 95000 us back"
    if name.startswith("evt"):
        # What goes back are the words with the upper bits of the time.
        where = r"word of the time \d+ at 0 us after one at 9\d+ us, 9\d+ us back"
    where = f"{re.escape(str(path))} must .*Received: {where}"
    with pytest.raises(ValueError, match=where):
        formats.read(path)
    with pytest.raises(ValueError, match=where):
        list(formats.chunks(path, 7))


@pytest.mark.parametrize(("dtype", "back"), [("u4", 3000), ("i8", 2**32), ("f8", 2**32)])
def test_jump_that_is_no_turn_of_the_column(dtype, back, tmp_path):
    times = back * 10**6 * (dtype == "u4") + 2**32 * (dtype != "u4") + np.arange(40) * MS
    if dtype == "u4":
        times = np.r_[3000 * 10**6 + np.arange(20), np.arange(20)]
    else:
        times[20:] -= 2**32
    made = files.events()
    np.savez(tmp_path / "a.npz", **{n: made[n] for n in "xyp"}, t=times.astype(dtype))
    with pytest.raises(ValueError, match=rf"a.npz must .* {times[19] - times[20]} us back"):
        formats.read(tmp_path / "a.npz")


def test_turn_that_the_packets_of_aedat3_did_not_count(tmp_path):
    made, path = files.events(4), tmp_path / "a.aedat"
    made["t"] = 2**31 - 2, 2**31 - 1, 0, 3
    path.write_bytes(files.HEADER3 + files.packet3(made))
    assert formats.read(path).events["t"].tolist() == [2**31 - 2, 2**31 - 1, 2**31, 2**31 + 3]


def test_turn_of_aedat2_at_an_event_that_came_late(tmp_path):
    path = tmp_path / "a.aedat"
    times = [2**32 - 9, 2, 2**32 - 1, 4]
    body = b"".join(struct.pack(">II", 0, t) for t in times)
    path.write_bytes(b"#!AER-DAT2.0\r\n" + body)
    with pytest.warns(UserWarning, match="1 of 4 events .* by up to 3 us"):
        events = formats.read(path).events
    assert (events["t"] - events["t"][0]).tolist() == [0, 8, 11, 13]


class Table:
    """A data set object with one recording, whose 32-bit counter runs over in the middle."""

    targets = [0]

    def __init__(self, times):
        self.events = np.zeros(len(times), [("x", "u2"), ("y", "u2"), ("t", "u4"), ("p", "u1")])
        self.events["t"] = times

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return self.events, 0


def test_data_set_objects(tmp_path):
    times = np.r_[2**32 - 50 * MS + MS * np.arange(50), MS * np.arange(30)]
    options = {"steps": 2, "cache_dir": tmp_path, "processes": 1, "verbose": False}
    frames, _ = data.events(Table(times), **options)[0]
    # 80 ms: half of its 79 that are whole is 39 and a half.
    assert frames.sum((0, 2, 3, 4)).tolist() == [40, 40]
    with pytest.raises(ValueError, match="recording 0 of .* 79000 us back"):
        data.events(Table(np.r_[MS * np.arange(80), 0]), **options)
