"""A recording of any length is read in memory that its length does not change."""

import os
import struct
import tracemalloc

import h5py
import numpy as np
import pytest

from keras_staa.data import formats
from keras_staa.data.formats import process
from tests.data.formats import files

pytestmark = pytest.mark.once

EVENTS = 50_000
# Thrice the events of a chunk, what of the file they came from, and copies of both.
MOST = 20 * 2**20


def peak_and_count(path, **arguments):
    """The most bytes that reading in chunks takes here, and how many events came."""
    tracemalloc.start()
    try:
        count = sum(len(piece) for piece in formats.chunks(path, EVENTS, **arguments))
        return tracemalloc.get_traced_memory()[1], count
    finally:
        tracemalloc.stop()


def sparse(path, head, size, bytes_an_event):
    """A file of a size that says nothing but zeros after its head."""
    size = (size - len(head)) // bytes_an_event * bytes_an_event + len(head)
    path.write_bytes(head)
    os.truncate(path, size)
    return (size - len(head)) // bytes_an_event


def head3(size):
    count = (size - len(files.HEADER3) - 28) // 8
    return files.HEADER3 + struct.pack("<hhiiiiii", 1, 1, 8, 4, 0, count, count, count)


# The start of files whose rest may be zeros, and the bytes of an event.
HEADS = {
    "nmnist": (b"", 5),
    "aedat1": (b"#!AER-DAT1.0\r\n", 6),
    "aedat2": (b"#!AER-DAT2.0\r\n", 8),
    "dat": (b"% Version 2\n" + bytes([12, 8]), 8),
    "evt2": (b"% evt 2.0\n% end\n" + struct.pack("<I", 8 << 28), 4),
}


@pytest.mark.parametrize("megabytes", [20, 200])
@pytest.mark.parametrize("name", ["nmnist", "aedat1", "aedat2", "aedat3", "dat", "evt2", "npy"])
def test_file_is_read_in_bounded_memory(name, megabytes, tmp_path):
    size = megabytes * 10**6
    path = files.write(tmp_path, name)
    if name == "npy":
        with path.open("wb") as file:
            about = {"descr": formats.DTYPE.descr, "fortran_order": False, "shape": (size // 13,)}
            np.lib.format.write_array_header_1_0(file, about)
        head = path.read_bytes()
        count = sparse(path, head, len(head) + size, 13)
    elif name == "aedat3":
        count = sparse(path, head3(size), size, 8)
    else:
        head, each = HEADS[name]
        count = sparse(path, head, size, each)
    peak, read = peak_and_count(path)
    assert read == count
    assert peak < MOST


def test_what_was_read_of_a_mapped_file_leaves_memory(tmp_path):
    if not os.path.exists("/proc/self/smaps"):
        pytest.skip("no /proc/self/smaps on this system")
    path = tmp_path / "a.npy"
    np.save(path, ascending(0, 8_000_000))
    most = 0
    for _ in formats.chunks(path, EVENTS, sensor_size=(34, 34)):
        with open("/proc/self/smaps") as file:
            of_file = file.read().split(f"{path}\n")[1:]
        most = max([most, *(int(text.split("Rss:")[1].split()[0]) for text in of_file)])
    assert most < 20 * 1024 < path.stat().st_size / 1024


def ascending(start, count):
    made = np.zeros(count, formats.DTYPE)
    made["t"] = np.arange(start, start + count)
    made["x"], made["y"], made["p"] = made["t"] % 34, made["t"] // 34 % 34, made["t"] % 2
    return made


@pytest.fixture
def little_memory(monkeypatch):
    """The reading process has less memory than the events of the file take."""
    monkeypatch.setattr(process, "MEMORY", 440 * 2**20)
    monkeypatch.setattr(process, "_idle", [])


def test_h5_is_read_in_bounded_memory(little_memory, tmp_path):
    path, count = tmp_path / "a.h5", 40_000_000
    with h5py.File(path, "w") as file:
        for name in "xytp":
            file.create_dataset(
                name, (count,), formats.DTYPE[name], chunks=(10**6,), compression="gzip"
            )
            for start in range(0, count, 10**6):
                # Zeros, except for one that shows that all were read.
                part = np.zeros(10**6, formats.DTYPE[name])
                part[-1] = start // 10**6 % 2 if name == "p" else 0
                file[name][start : start + 10**6] = part
    peak, read = peak_and_count(path, sensor_size=(34, 34))
    assert read == count
    assert peak < MOST


def test_aedat4_is_read_in_bounded_memory(little_memory, tmp_path):
    pytest.importorskip("aedat")
    path, each, packets = tmp_path / "a.aedat4", 10_000, 2_500
    with path.open("wb") as file:
        file.write(files.header4())
        for index in range(packets):
            file.write(files.packet4(ascending(index * each, each)))
    assert path.stat().st_size > 380 * 10**6
    peak, read = peak_and_count(path)
    assert read == each * packets
    assert peak < MOST
