"""What is wrong with a file is an error that names the file and says what is allowed."""

import struct
import zipfile

import h5py
import numpy as np
import pytest

from keras_staa.data import formats
from keras_staa.data.formats import process
from tests.data.formats import files

pytestmark = pytest.mark.once


def rejected(path, text, **arguments):
    """The file is refused, at once and in chunks, by an error that has its name and a text."""
    for attempt in (
        lambda: formats.read(path, **arguments),
        lambda: list(formats.chunks(path, 10, **arguments)),
    ):
        with pytest.raises(ValueError, match=text) as error:
            attempt()
        assert str(path) in str(error.value)
        assert "Received: " in str(error.value)


@pytest.mark.parametrize("name", files.FORMATS)
def test_file_without_events(name, tmp_path):
    rejected(files.write(tmp_path, name, files.events(0)), "must hold events")


@pytest.mark.parametrize("name", files.FORMATS)
def test_empty_file(name, tmp_path):
    path = files.write(tmp_path, name)
    path.write_bytes(b"")
    rejected(path, "must")


@pytest.mark.parametrize("name", files.FORMATS)
def test_truncated_file(name, tmp_path):
    path = files.write(tmp_path, name)
    data = path.read_bytes()
    event = {"nmnist": 5, "aedat1": 6, "aedat2": 8, "davis": 8, "dat": 8, "evt2": 4, "evt3": 2}
    event = event.get(name)
    for cut in (1, 6, 7, len(data) // 3, len(data) - 7):
        # What follows the packets of AEDAT 4 is a table that nothing here needs.
        cut += 5 if name == "aedat4" else 0
        if event and cut % event == 0:
            continue  # As good as a shorter recording.
        path.write_bytes(data[: len(data) - cut])
        rejected(path, "must")


@pytest.mark.parametrize("name", files.FORMATS)
def test_wrong_header(name, tmp_path):
    if name == "nmnist":
        pytest.skip("has no header")
    path = files.write(tmp_path, name)
    path.write_bytes(b"#!AER-DAT9.0\r\n" + path.read_bytes())
    rejected(path, "must (start with|be a whole)")
    path.write_bytes(bytes(1000))
    rejected(path, "must (start with|be a whole)")


@pytest.mark.parametrize("name", files.FORMATS)
def test_coordinates_outside_the_sensor(name, tmp_path):
    made = files.events()
    path = files.write(tmp_path, name, made)
    tall, wide = int(made["y"].max()) + 1, int(made["x"].max()) + 1
    size = (tall, wide)
    if name in ("nmnist", "npy", "table", "mat"):
        assert len(formats.read(path, sensor_size=size)) == 40
        rejected(path, rf"every y in \[0, {tall - 2}\]", sensor_size=(tall - 1, wide))
        rejected(path, rf"every x in \[0, {wide - 2}\]", sensor_size=(tall, wide - 1))
    else:
        with pytest.raises(ValueError, match=r"`sensor_size` must be that of .*\(34, 34\)|128"):
            formats.read(path, sensor_size=(tall - 1, wide))


@pytest.mark.parametrize(
    "name",
    ["nmnist", "aedat3", "aedat4", "dat", "evt2", "evt3", "npz", "h5", "metavision"],
)
@pytest.mark.parametrize("field", ["x", "y"])
def test_coordinates_outside_the_sensor_of_the_format(name, field, tmp_path):
    made = files.events()
    made[field][30] = 200
    path = files.write(tmp_path, name, made)
    rejected(path, rf"every {field} in \[0, (33|127)\], for a sensor of .*200")
    if name == "nmnist":  # The only one of these that states no sensor.
        rejected(path, "give `sensor_size`")


def test_coordinates_that_no_sensor_has(tmp_path):
    made = files.events()
    made["x"][3] = 60_000
    path = files.write(tmp_path, "npy", made)
    rejected(path, r"every x in \[0, 4095\].*`sensor_size`.*60000")
    assert formats.read(path, sensor_size=(34, 60_001)).sensor_size == (34, 60_001)


@pytest.mark.parametrize("name", ["aedat4", "dat", "npy", "npz", "h5", "metavision", "mat"])
@pytest.mark.parametrize("wrong", [2, 15])
def test_polarity_other_than_on_and_off(name, wrong, tmp_path):
    made = files.events()
    made["p"][30] = wrong
    path = files.write(tmp_path, name, made)
    if name == "aedat4":  # Its library gives whatever is not 0 as ON.
        assert len(formats.read(path)) == 40
    else:
        rejected(path, r"polarities in \{0, 1\} or in \{-1, 1\}")


def test_polarity_of_both_kinds(tmp_path):
    polarity = np.ones(40, int)
    # In different chunks.
    polarity[[2, 33]] = 0, -1
    arrays = {name: files.events()[name] for name in "xyt"}
    np.savez(tmp_path / "a.npz", p=polarity, **arrays)
    rejected(tmp_path / "a.npz", r"polarities in \{0, 1\} or in \{-1, 1\}")


@pytest.mark.parametrize("time", [0.5, np.nan, np.inf, -1e300])
def test_time_that_is_no_whole_microsecond(time, tmp_path):
    made = files.events()
    times = made["t"].astype(float)
    times[7] = time
    np.savez(tmp_path / "a.npz", t=times, **{name: made[name] for name in "xyp"})
    rejected(tmp_path / "a.npz", r"whole numbers as t \(microseconds\).* as event 7")


@pytest.mark.parametrize("kind", ["npz", "h5", "mat"])
def test_parts_of_different_lengths(kind, tmp_path):
    made, path = files.events(), tmp_path / f"a.{kind}"
    arrays = {name: made[name] for name in "xyt"} | {"p": made["p"][:25]}
    if kind == "mat":
        pytest.importorskip("scipy.io").savemat(path, arrays)
    elif kind == "npz":
        np.savez(path, **arrays)
    else:
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                file[name] = array
    rejected(path, "as many x as y, t and p")


@pytest.mark.parametrize("kind", ["npy", "npz", "h5", "mat"])
def test_parts_that_are_missing(kind, tmp_path):
    made, path = files.events(), tmp_path / f"a.{kind}"
    if kind == "mat":
        pytest.importorskip("scipy.io").savemat(path, {"x": made["x"], "t": made["t"]})
    elif kind == "h5":
        with h5py.File(path, "w") as file:
            file["x"], file["t"] = made["x"], made["t"]
    elif kind == "npz":
        np.savez(path, x=made["x"], t=made["t"])
    else:
        np.save(path, made["x"])
    rejected(path, "must have .*t/ts/timestamp/timestamps")


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


@pytest.mark.parametrize("size", [(0, 34), (34, 4097), (2**40, 34)])
@pytest.mark.parametrize("name", ["aedat4", "dat", "evt3", "npz", "h5"])
def test_sensor_that_a_file_cannot_have(name, size, tmp_path):
    path = files.write(tmp_path, name)
    if name == "aedat4":
        path.write_bytes(files.header4(size=size) + files.packet4(files.events()))
    elif name in ("dat", "evt3"):
        text = path.read_bytes()
        for stated in (b"Height 34", b"height=34"):
            text = text.replace(stated, stated[:-2] + str(size[0]).encode())
        for stated in (b"Width 34", b"width=34"):
            text = text.replace(stated, stated[:-2] + str(size[1]).encode())
        path.write_bytes(text)
        if size[0] > 10**9:  # No number of a sensor: as if nothing were stated.
            return
    elif name == "h5":
        with h5py.File(path, "a") as file:
            file["events"].attrs["height"], file["events"].attrs["width"] = size
    else:
        np.savez(path, **{n: files.events()[n] for n in "xytp"}, height=size[0], width=size[1])
    rejected(path, "must")


@pytest.mark.parametrize("times", [(-(2**63), 0), (0, 2**62), (-(2**62), 2**63 - 1)])
def test_times_whose_difference_is_none(times, tmp_path):
    np.savez(tmp_path / "a.npz", x=[0, 1], y=[0, 1], p=[0, 1], t=times)
    rejected(tmp_path / "a.npz", r"every t in \[-2\*\*62, 2\*\*62\)")


@pytest.mark.parametrize("size", [5, (34,), (34, 34, 2), (0, 34), (34.0, 34), (34, 2**16 + 1)])
def test_sensor_size_that_is_none(size, tmp_path):
    path = files.write(tmp_path, "nmnist")
    with pytest.raises(ValueError, match="`sensor_size` must be"):
        formats.read(path, sensor_size=size)


def test_path(tmp_path):
    with pytest.raises(ValueError, match=r"`path` must end with one of .*\.aedat4"):
        formats.read(tmp_path / "a.png")
    for suffix in formats.FORMATS:
        with pytest.raises(FileNotFoundError, match="absent"):
            formats.read(tmp_path / f"absent{suffix}")
    with pytest.raises(ValueError, match="`events` must be"):
        formats.chunks(files.write(tmp_path, "npy"), events=0)
