"""Every format gives the events that were written, at once and in chunks."""

import contextlib
import struct
import subprocess
import sys

import h5py
import numpy as np
import pytest

from keras_staa.data import formats
from tests.data.formats import files

pytestmark = pytest.mark.once


@pytest.mark.parametrize("name", files.FORMATS)
def test_events_are_those_written(name, tmp_path):
    path = files.write(tmp_path, name)
    recording = formats.read(path)
    assert recording.events.dtype == formats.DTYPE
    np.testing.assert_array_equal(recording.events, files.events())
    stated = files.FORMATS[name][2]
    assert recording.stated == (stated is not None)
    made = files.events()
    smallest = (int(made["y"].max()) + 1, int(made["x"].max()) + 1)
    assert recording.sensor_size == (stated or smallest)


@pytest.mark.parametrize("size", [1, 7, 20, 40, 1000])
@pytest.mark.parametrize("name", files.FORMATS)
def test_chunks_are_the_recording_in_pieces(name, size, tmp_path):
    stream = formats.chunks(files.write(tmp_path, name), events=size)
    for _ in range(2):
        pieces = list(stream)
        assert [len(piece) for piece in pieces[:-1]] == [size] * (len(pieces) - 1)
        np.testing.assert_array_equal(np.concatenate(pieces), files.events())
    recording = formats.read(stream.path)
    assert (stream.sensor_size, stream.stated) == (recording.sensor_size, recording.stated)


@pytest.mark.parametrize("name", files.FORMATS)
def test_events_out_of_order_are_sorted_and_counted(name, tmp_path):
    made = files.events()
    made["t"] = 10 * np.arange(40)
    mixed = made.copy()
    mixed[[3, 4, 20, 30]] = made[[4, 3, 30, 20]]
    path = files.write(tmp_path, name, mixed)
    with pytest.warns(UserWarning, match=rf"{path.name}: 3 of 40 events"):
        recording = formats.read(path)
    np.testing.assert_array_equal(recording.events, made)
    with pytest.warns(UserWarning, match=rf"{path.name}: 3 of 40 events"):
        np.testing.assert_array_equal(np.concatenate(list(formats.chunks(path, 12))), made)


def test_an_event_too_late_for_its_chunk_is_an_error(tmp_path):
    made = files.events()
    made["t"] = np.arange(40)
    path = files.write(tmp_path, "npy", made[[*range(30), *range(35, 40), *range(30, 35)]])
    with pytest.warns(UserWarning, match="1 of 40"):
        np.testing.assert_array_equal(np.concatenate(list(formats.chunks(path, 5))), made)
    with pytest.raises(ValueError, match=rf"{path.name} must have no event more than 4 events"):
        list(formats.chunks(path, 4))


def test_events_of_one_time_keep_their_order(tmp_path):
    made = files.events(200)
    made["t"] = np.arange(200) // 50
    shuffled = made.copy()
    shuffled["t"] = shuffled["t"][::-1]
    with pytest.warns(UserWarning, match="3 of 200"):
        recording = formats.read(files.write(tmp_path, "npy", shuffled))
    np.testing.assert_array_equal(recording.events[:50]["x"], made[150:]["x"])


def test_nmnist_bits_and_the_overflow_of_its_clock(tmp_path):
    path = tmp_path / "a.bin"
    first, overflow = [33, 2, 0x81, 0x02, 0x03], [0, 240, 0, 0, 0]
    path.write_bytes(bytes(first + overflow + first + overflow + first))
    t = 0x010203
    for events in (formats.read(path).events, np.concatenate(list(formats.chunks(path, 1)))):
        assert events.tolist() == [(33, 2, t + 8192 * i, 1) for i in range(3)]


def test_aedat2_bits_special_events_and_the_turn_of_its_clock(tmp_path):
    path = tmp_path / "a.aedat"
    words = [(5 << 8 | 3 << 1 | 1, 2**32 - 1), (1 << 15, 2**32 - 1), (0, 4), (1 << 31, 5), (1, 6)]
    body = b"".join(struct.pack(">II", *word) for word in words)
    # A second name line, a blank comment, and the line that ends the header of newer files.
    path.write_bytes(b"#!AER-DAT2.0\r\n#\r\n#End Of ASCII Header\r\n" + body)
    turned = 2**32
    expected = [(124, 5, turned - 1, 0), (127, 0, turned + 4, 1), (127, 0, turned + 6, 0)]
    assert formats.read(path).events.tolist() == expected
    assert np.concatenate(list(formats.chunks(path, 1))).tolist() == expected


def test_aedat1_events_of_row_35_are_no_header(tmp_path):
    made = files.events(3)
    made["y"], made["x"] = 35, 122
    path = files.write(tmp_path, "aedat1", made)
    assert path.read_bytes().count(b"#") == 5
    np.testing.assert_array_equal(formats.read(path).events, made)


def test_aedat3_skips_other_types_and_invalid_events(tmp_path):
    made, path = files.events(6), tmp_path / "a.aedat"
    made["t"] = np.arange(6)
    packets = [
        files.packet3(made[:2], turns=0),
        files.packet3(made[:4], kind=0),
        files.packet3(made[2:4], valid=[0, 1]),
        # None marked, all counted: the head holds.
        files.packet3(made[4:5], valid=[0])[:24] + struct.pack("<i", 1),
        files.packet3(made[4:5], valid=[0])[28:],
        files.packet3(made[5:], turns=2),
    ]
    path.write_bytes(files.HEADER3 + b"".join(packets))
    expected = made[[0, 1, 3, 4, 5]]
    expected["t"][-1] += 2 * 2**31
    np.testing.assert_array_equal(formats.read(path).events, expected)


@pytest.mark.parametrize(
    ("source", "size"),
    [(b"DAVIS240C", (180, 240)), (b"DAVIS346B", (260, 346)), (b"Test", None)],
)
def test_aedat3_camera_names_the_sensor(source, size, tmp_path):
    path = tmp_path / "a.aedat"
    path.write_bytes(files.HEADER3.replace(b"DVS128", source) + files.packet3(files.events(4)))
    recording = formats.read(path)
    assert recording.stated == (size is not None)
    assert size in (None, recording.sensor_size)


def test_aedat4_is_read_whatever_the_name_ends_with(tmp_path):
    path = files.write(tmp_path, "aedat4").rename(tmp_path / "a.aedat")
    np.testing.assert_array_equal(formats.read(path).events, files.events())


def test_aedat2_of_a_davis(tmp_path):
    path = tmp_path / "a.aedat"
    # A pixel, one of a frame, a signal from outside, and a row whose address starts with '#'.
    address = 5 << 22 | 3 << 12 | 1 << 11
    words = [
        (address, 1),
        (address | 1 << 31, 2),
        (address | 1 << 10, 3),
        (0x23 << 24 | 7 << 12, 4),
    ]
    body = b"".join(struct.pack(">II", *word) for word in words)
    header = "#!AER-DAT2.0\r\n# AEChip: eu.seebetter.ini.chips.davis.Davis346red\r\n#\t\xe9\r\n"
    for end in ("", "#End Of ASCII Header\r\n"):
        # The other order: the row with '#' right behind the header.
        for part in (body, body[24:] + body[:24]):
            path.write_bytes((header + end).encode("latin-1") + part)
            with pytest.warns(UserWarning) if part is not body else contextlib.nullcontext():
                recording = formats.read(path)
            assert recording.events.tolist() == [(342, 5, 1, 1), (338, 140, 4, 0)]
            assert recording.sensor_size == (260, 346)


def test_dat_of_the_first_version(tmp_path):
    path = tmp_path / "a.dat"
    words = struct.pack("<4I", 7, 303 | 239 << 9 | 1 << 17, 9, 1 | 2 << 9)
    path.write_bytes(
        b"% Data file containing TD events.\r\n% Height 240\n% Width 304\n\0\x08" + words
    )
    recording = formats.read(path)
    assert recording.events.tolist() == [(303, 239, 7, 1), (1, 2, 9, 0)]
    assert recording.sensor_size == (240, 304)


def test_dat_of_jaer_is_aedat1(tmp_path):
    path = files.write(tmp_path, "aedat1").rename(tmp_path / "a.dat")
    np.testing.assert_array_equal(formats.read(path).events, files.events())


@pytest.mark.parametrize("events", [1, 3, 100])
def test_evt3_vectors_and_state(events, tmp_path):
    path = tmp_path / "a.raw"
    words = [
        (2, 5),  # An event and a row before any time: left out.
        (0, 6),
        (8, 4095),
        (2, 1 << 11 | 9),  # The lower part of the time is not there yet.
        (6, 4094),
        (2, 9),
        (3, 1 << 11 | 20),  # Vectors from x = 20 on, ON.
        (4, 0b100000000001),
        (5, 0b10000001),
        (14, 3),  # What the camera says of itself, a continuation, a trigger.
        (15, 4095),
        (10, 1),
        (0, 1 << 11 | 7),
        (5, 0b1),
        (8, 4095),  # Again: nothing changes.
        (2, 10),
        (8, 0),  # The clock ran over; its lower part is not there yet.
        (2, 11),
        (6, 2),
        (2, 1 << 11 | 12),
    ]
    body = struct.pack(f"<{len(words)}H", *(kind << 12 | rest for kind, rest in words))
    path.write_bytes(b"% evt 3.0\n% plugin_name hal_plugin_gen41_evk3\n" + body)
    base = 4095 << 12
    t, turned = base + 4094, 1 << 24
    expected = [(9, 6, base, 1), (9, 6, t, 0), (20, 6, t, 1), (31, 6, t, 1), (32, 6, t, 1)]
    expected += [(39, 6, t, 1), (40, 7, t, 1), (10, 7, t, 0), (11, 7, turned, 0)]
    expected += [(12, 7, turned + 2, 1)]
    stream = formats.chunks(path, events)
    assert np.concatenate(list(stream)).tolist() == expected
    assert (stream.sensor_size, stream.stated) == ((720, 1280), True)


def test_evt2_words_that_are_no_events(tmp_path):
    path = tmp_path / "a.raw"
    words = [
        1 << 28,
        8 << 28 | 2,
        10 << 28 | 5,
        14 << 28,
        15 << 28 | 9,
        1 << 28 | 3 << 22 | 6 << 11 | 7,
    ]
    path.write_bytes(b"% evt 2.0\n" + struct.pack("<6I", *words))
    recording = formats.read(path)
    assert recording.events.tolist() == [(6, 7, 131, 1)]
    assert not recording.stated


@pytest.mark.parametrize("order", ["xypt", "txyp", "xytp"])
@pytest.mark.parametrize("unit", [1, 1000, 1_000_000])
@pytest.mark.parametrize("kind", ["npy", "fortran", "npz", "h5"])
def test_table_in_any_order_and_unit(order, unit, kind, tmp_path):
    made = files.events(5000)
    # A second.
    made["t"] = np.sort(np.random.default_rng(1).integers(10**6, size=5000))
    if unit == 1000:
        made["t"] = made["t"] // 1000 * 1000
    columns = {name: made[name] / (unit if name == "t" else 1) for name in "xytp"}
    rows = np.stack([columns[name] for name in order], 1)
    rows = rows.astype("u4") if unit == 1 else rows
    path = tmp_path / f"a.{'npy' if kind == 'fortran' else kind}"
    if kind == "npz":
        np.savez(path, events=rows, height=34, width=34)
    elif kind == "h5":
        with h5py.File(path, "w") as file:
            file.create_dataset("events", data=rows, compression="gzip")
    else:
        np.save(path, np.asfortranarray(rows) if kind == "fortran" else rows)
    recording = formats.read(path)
    np.testing.assert_array_equal(recording.events, made)
    assert recording.stated == (kind == "npz")


NAMES = [
    ("x", "y", "t", "p"),
    ("x", "y", "ts", "pol"),
    ("x", "y", "timestamp", "polarity"),
    ("X", "Y", "Timestamps", "P"),
]


@pytest.mark.parametrize("names", NAMES)
@pytest.mark.parametrize("kind", ["npy", "npz", "npz-struct", "h5", "h5-root", "h5-struct", "mat"])
def test_arrays_under_any_of_their_names_in_any_dtype_and_order(kind, names, tmp_path):
    made = files.events()
    dtypes = ["<i4", ">u2", "<f8", "?"]
    arrays = {n: made[f].astype(d) for n, f, d in zip(names, "xytp", dtypes, strict=True)}
    arrays = dict(reversed(arrays.items()))
    table = np.empty(40, [("label", "i4"), *((n, a.dtype) for n, a in arrays.items())])
    for name, array in arrays.items():
        table[name] = array
    table["label"] = 7
    if kind == "mat":
        io = pytest.importorskip("scipy.io")
        io.savemat(path := tmp_path / "a.mat", {"TD": arrays, "label": 7})
    elif kind == "npy":
        np.save(path := tmp_path / "a.npy", table)
    elif kind.startswith("npz"):
        path = tmp_path / "a.npz"
        np.savez(path, **(arrays if kind == "npz" else {"label": 7, "events": table}))
    else:
        path = tmp_path / "a.hdf5"
        with h5py.File(path, "w") as file:
            if kind == "h5-struct":
                file["events"] = table
            else:
                group = file if kind == "h5-root" else file.create_group("events")
                for name, array in arrays.items():
                    group[name] = array
    np.testing.assert_array_equal(formats.read(path).events, made)


@pytest.mark.parametrize("dtype", ["i1", "f4"])
def test_polarity_may_be_minus_one(dtype, tmp_path):
    made = files.events()
    arrays = {name: made[name] for name in "xyt"}
    np.savez(tmp_path / "a.npz", p=made["p"].astype(dtype) * 2 - 1, **arrays)
    np.testing.assert_array_equal(formats.read(tmp_path / "a.npz").events, made)


def test_caller_says_how_large_the_sensor_is(tmp_path):
    path = files.write(tmp_path, "npy")
    recording = formats.read(path, sensor_size=(40, 50))
    assert (recording.sensor_size, recording.stated) == ((40, 50), True)
    assert recording.counts().shape == (40, 50, 2)
    assert recording.counts().sum((0, 1)).tolist() == [
        np.count_nonzero(files.events()["p"] == p) for p in (0, 1)
    ]
    # What N-MNIST has is only the default of its format.
    large = files.events(size=(180, 240))
    path = files.write(tmp_path, "nmnist", large)
    assert formats.read(path, sensor_size=[180, 240]).sensor_size == (180, 240)


def test_taxels_of_st_mnist(tmp_path):
    io = pytest.importorskip("scipy.io")
    table = np.zeros((101, 3))
    table[[3, 42, 99], [0, 1, 2]] = [1, -1, 1]
    table[-1] = [0.1, 0.25, 0.3000004]
    io.savemat(tmp_path / "a.mat", {"spiketrain": table})
    recording = formats.read(tmp_path / "a.mat")
    expected = [(3, 0, 100_000, 1), (2, 4, 250_000, 0), (9, 9, 300_000, 1)]
    assert recording.events.tolist() == expected
    assert recording.sensor_size == (10, 10)


def test_import_draws_in_no_library_of_a_format():
    code = (
        "import sys, keras; before = set(sys.modules); import keras_staa.data.formats as f;"
        "print(*{name.split('.')[0] for name in set(sys.modules) - before});"
        "print(*(name for name in f.FORMATS.values() if f'{f.__name__}.{name}' in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    drawn, readers = done.stdout.splitlines()
    assert "keras_staa" in drawn.split()
    assert set(drawn.split()) & {"h5py", "scipy", "aedat", "tonic", "hdf5plugin"} == set()
    assert readers == ""


@pytest.mark.parametrize(("name", "library"), [("aedat4", "aedat"), ("mat", "scipy")])
def test_missing_library_is_named(name, library, tmp_path, monkeypatch):
    path = files.write(tmp_path, name)
    from keras_staa.data.formats import process

    (tmp_path / library).mkdir()
    (tmp_path / library / "__init__.py").write_text("raise ImportError('not here')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(process, "_idle", [])
    with pytest.raises(ImportError, match=rf"{path.name} is .* `pip install {library}`"):
        formats.read(path)
