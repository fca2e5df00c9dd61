"""What is wrong with files of one format is an error that names the file and what is allowed."""

import struct
import zipfile

import h5py
import numpy as np
import pytest

from keras_staa.data import formats
from keras_staa.data.formats import process
from tests.data.formats import files
from tests.data.formats.support import rejected

pytestmark = pytest.mark.once


def test_pickled_objects_are_not_loaded(tmp_path):
    arrays = {name: files.events()[name] for name in "xyp"}
    times = np.array([object()] * 40)
    np.savez(tmp_path / "a.npz", t=times, **arrays)
    rejected(tmp_path / "a.npz", "without pickled objects")
    np.save(tmp_path / "a.npy", times)
    rejected(tmp_path / "a.npy", "without pickled objects")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        file.writestr("x.npy", b"no array")
    rejected(tmp_path / "a.npz", "must hold arrays alone")


def test_aedat2_of_another_camera(tmp_path):
    path = tmp_path / "a.aedat"
    files.aedat2(path, files.events(), chip=b"ch.unizh.ini.jaer.chip.cochlea.CochleaAMS1c")
    rejected(path, "must be of a camera out of .*DVS128.*Received: AEChip .*CochleaAMS1c")
    path.write_bytes(b"#!AER-DAT2.0\r\n" + struct.pack(">II", 1 << 20, 0))
    rejected(path, "must have addresses of a DVS128, .* camera out of .*DAVIS346")


@pytest.mark.parametrize("kind", [(12, 16), (14, 8), (12,), ()])
def test_dat_of_other_events(kind, tmp_path):
    path = tmp_path / "a.dat"
    path.write_bytes(b"% Version 2\n" + bytes(kind))
    rejected(path, r"must have events of a type out of \(0, 12\) and of 8 bytes")


@pytest.mark.parametrize("version", ["evt 2.1", "evt 4.0", "format EVT21;height=3", "date 2020"])
def test_raw_of_other_versions(version, tmp_path):
    path = tmp_path / "a.raw"
    path.write_bytes(f"% {version}\n% end\n".encode() + bytes(16))
    rejected(path, "must state in its header 'evt 2.0' or 'evt 3.0'")


@pytest.mark.parametrize(("header", "word"), [(b"% evt 2.0\n", "<I"), (b"% evt 3.0\n", "<H")])
def test_raw_with_words_of_no_type(header, word, tmp_path):
    path, bits = tmp_path / "a.raw", 8 * struct.calcsize(word)
    path.write_bytes(header + struct.pack(word, 9 << bits - 4))
    rejected(path, "must have words of the types .*Received: type 9")


def test_raw_whose_events_have_no_time(tmp_path):
    path = tmp_path / "a.raw"
    path.write_bytes(b"% evt 3.0\n" + struct.pack("<3H", 6 << 12, 5, 2 << 12))
    rejected(path, "must hold events")


ROWS = {
    "no column with two values": [[1, 2, 3, 40], [1, 2, 4, 50]],
    "time that goes down": [[9, 1, 1, 900 - t] for t in range(100)],
    "fractions as x": [[t * 1e4, 0.5, 2, 1] for t in range(100)],
    "two orders": [[t, 5, t, 1] for t in range(100)],
    "not a number": [[np.nan, 5, 7, 1] for t in range(100)],
}


@pytest.mark.parametrize("case", ROWS)
def test_table_of_unknown_columns(case, tmp_path):
    np.save(tmp_path / "a.npy", np.array(ROWS[case], float))
    rejected(
        tmp_path / "a.npy", r"must have (columns in one of the orders|times of which the unit)"
    )


@pytest.mark.parametrize("span", [1000, 0.001 * 1000, 0.3])
def test_table_of_unclear_unit(span, tmp_path):
    # A hundred events in 1,000 us or ms; in one ms or s; whole ones cannot be milliseconds.
    rows = np.ones((100, 4))
    rows[:, 3] = np.linspace(0, span, 100)
    rows[:, 3] = np.round(rows[:, 3]) if span == 1000 else rows[:, 3]
    np.save(tmp_path / "a.npy", rows)
    if span == 0.3:
        assert formats.read(tmp_path / "a.npy").duration in (300, 300_000)
    else:
        rejected(tmp_path / "a.npy", "times of which the unit is clear.*Received: 100 events")


def test_h5_compressed_by_a_filter_that_is_not_there(tmp_path):
    path = tmp_path / "a.hdf5"
    with h5py.File(path, "w") as file:
        made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        made.set_chunk((10,))
        # Metavision's own.
        made.set_filter(36559, h5py.h5z.FLAG_OPTIONAL, ())
        dtype = np.dtype([("x", "<u2"), ("y", "<u2"), ("p", "<i2"), ("t", "<i8")])
        group = file.create_group("CD")
        data = h5py.h5d.create(
            group.id, b"events", h5py.h5t.py_create(dtype), h5py.h5s.create_simple((10,)), made
        )
        data.write_direct_chunk((0,), b"compressed" * 10, filter_mask=0)
    rejected(path, "filters of HDF5 that are installed .*Metavision.*CD/events with filter 36559")


def test_h5_of_many_recordings(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["labels"], file["spikes/times"] = [1], [2.0]
    rejected(path, "must be one recording; give `keras_staa.data.events` its folder")


@pytest.mark.parametrize(
    ("place", "packed", "text"),
    [
        (0, struct.pack("<h", 3), "must hold events"),
        (4, struct.pack("<i", 16), "truncated"),
        (4, struct.pack("<i", 0), "0 or more events"),
        (8, struct.pack("<i", 0), "time at byte 4"),
        (12, struct.pack("<i", -1), "after 0 or more turns"),
        (16, struct.pack("<i", 41), "no room for further ones"),
        (16, struct.pack("<ii", 41, 41), "truncated"),
        (16, struct.pack("<ii", 2**31 - 1, 2**31 - 1), "truncated"),
        (16, struct.pack("<ii", -1, -1), "0 or more events"),
        (32, struct.pack("<i", -5), "timestamps of 0 or more.*-5"),
    ],
)
def test_aedat3_packet_that_cannot_be(place, packed, text, tmp_path):
    path, packet = tmp_path / "a.aedat", bytearray(files.packet3(files.events()))
    packet[place : place + len(packed)] = packed
    path.write_bytes(files.HEADER3 + packet)
    rejected(path, text)


def test_aedat3_of_two_cameras_or_compressed(tmp_path):
    path = tmp_path / "a.aedat"
    packets = [files.packet3(files.events(), source=source) for source in (1, 2)]
    path.write_bytes(files.HEADER3 + b"".join(packets))
    rejected(path, "the events of one camera")
    path.write_bytes(files.HEADER3.replace(b"RAW", b"PNG") + packets[0])
    rejected(path, "in the format RAW")
    path.write_bytes(files.HEADER3.replace(b"#!END", b"#!end") + packets[0])
    rejected(path, "#!END-HEADER")


@pytest.mark.parametrize("streams", [("IMUS",), ("EVTS", "EVTS")])
def test_aedat4_without_one_stream_of_events(streams, tmp_path):
    pytest.importorskip("aedat")
    path = tmp_path / "a.aedat4"
    path.write_bytes(files.header4(streams) + files.packet4(files.events()))
    rejected(path, f"one camera.*{streams.count('EVTS')} streams")


def test_aedat4_that_breaks_off_between_packets(tmp_path):
    pytest.importorskip("aedat")
    path, packet = tmp_path / "a.aedat4", files.packet4(files.events())
    head = files.header4(end=len(files.header4()) + 2 * len(packet))
    path.write_bytes(head + packet)
    rejected(path, "truncated")
    # Where the recorder never came to write the end, nobody can know.
    path.write_bytes(files.header4() + packet)
    assert len(formats.read(path)) == 40


def test_h5_with_data_elsewhere(tmp_path):
    made, other, path = files.events(), tmp_path / "other.h5", tmp_path / "a.h5"
    files.h5(other, made)
    with h5py.File(path, "w") as file:
        for name in "xyt":
            file[name] = made[name]
        file["p"] = h5py.ExternalLink("other.h5", "/events/p")
    rejected(path, "must hold p itself")
    (tmp_path / "raw").write_bytes(bytes(40))
    with h5py.File(path, "a") as file:
        del file["p"]
        file.create_dataset("p", (40,), "u1", external=[(str(tmp_path / "raw"), 0, 40)])
    rejected(path, "must hold its data itself")
    with h5py.File(path, "a") as file:
        del file["p"]
        layout = h5py.VirtualLayout((40,), "u1")
        layout[:] = h5py.VirtualSource("other.h5", "events/p", (40,))
        file.create_virtual_dataset("p", layout)
    rejected(path, "must hold its data itself")


def test_h5_that_promises_more_than_it_has(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        for name in "xytp":
            file.create_dataset(name, (2**40,), "u1", chunks=(1000,))
    rejected(path, "must hold the 1099511627776 bytes")


def test_h5_whose_chunk_needs_too_much_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(process, "MEMORY", 2**29)
    monkeypatch.setattr(process, "_idle", [])
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        for name in "xytp":
            # One chunk of 800 MB, which takes less than 1 MB.
            data = file.create_dataset(
                name, (10**8,), "u8", chunks=(10**8,), compression="gzip", fillvalue=1
            )
            data.id.write_direct_chunk((0,), b"\x78\x9c" + bytes(2**20))
    rejected(path, "must be")
    monkeypatch.setattr(process, "_idle", [])
