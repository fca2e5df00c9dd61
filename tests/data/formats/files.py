"""Files of every format, written byte by byte or by the library of the format."""

import struct

import h5py
import numpy as np
import pytest

from keras_staa.data.formats import DTYPE

SIZE = (34, 34)
LIBRARIES = {"aedat4": "aedat", "mat": "scipy"}


def events(count=40, seed=0, size=SIZE):
    """Events in the order of time, some of them at the same time."""
    rng = np.random.default_rng(seed)
    made = np.empty(count, DTYPE)
    made["x"], made["y"] = rng.integers(size[1], size=count), rng.integers(size[0], size=count)
    made["t"], made["p"] = np.cumsum(rng.integers(4, size=count)), rng.integers(2, size=count)
    return made


def nmnist(path, made):
    rows = [(x, y, p << 7 | t >> 16, t >> 8 & 255, t & 255) for x, y, t, p in made.tolist()]
    path.write_bytes(bytes(value for row in rows for value in row))


def dvs128_address(x, y, p):
    return y << 8 | (127 - x) << 1 | (1 - p)


def aedat1(path, made):
    words = [struct.pack(">HI", dvs128_address(x, y, p), t) for x, y, t, p in made.tolist()]
    path.write_bytes(b"#!AER-DAT1.0\r\n# created\r\n" + b"".join(words))


def aedat2(path, made, chip=b"ch.unizh.ini.jaer.chip.retina.DVS128"):
    words = [struct.pack(">II", dvs128_address(x, y, p), t) for x, y, t, p in made.tolist()]
    header = b"#!AER-DAT2.0\r\n# User name: Andr\xe9\r\n# AEChip: " + chip + b"\r\n"
    path.write_bytes(header + b"".join(words))


def davis(path, made):
    words = [
        struct.pack(">II", y << 22 | (127 - x) << 12 | p << 11, t) for x, y, t, p in made.tolist()
    ]
    header = b"#!AER-DAT2.0\r\n# AEChip: eu.seebetter.ini.chips.davis.Davis128\r\n"
    path.write_bytes(header + b"".join(words))


def dat(path, made):
    words = [struct.pack("<II", t, p << 28 | y << 14 | x) for x, y, t, p in made.tolist()]
    header = b"% Data file\n% Version 2\n% Height 34\n% Width 34\n" + bytes([12, 8])
    path.write_bytes(header + b"".join(words))


def evt2(path, made):
    words, high = [], None
    for x, y, t, p in made.tolist():
        if t >> 6 != high:
            words.append(8 << 28 | (high := t >> 6))
        words.append(p << 28 | (t & 63) << 22 | x << 11 | y)
    header = b"% evt 2.0\n% geometry 34x34\n% end\n"
    path.write_bytes(header + struct.pack(f"<{len(words)}I", *words))


def evt3(path, made):
    words, high = [], None
    for x, y, t, p in made.tolist():
        if t >> 12 != high:
            words.append(8 << 12 | (high := t >> 12))
        words += [6 << 12 | t & 4095, y, 2 << 12 | p << 11 | x]
    header = b"% format EVT3;height=34;width=34\n% end\n"
    path.write_bytes(header + struct.pack(f"<{len(words)}H", *words))


def packet3(made, kind=1, source=1, turns=0, valid=None):
    """A packet of AEDAT 3.1; `valid` says of each event whether it is."""
    valid = [1] * len(made) if valid is None else valid
    count = len(made)
    body = b"".join(
        struct.pack("<Ii", x << 17 | y << 2 | p << 1 | v, t)
        for (x, y, t, p), v in zip(made.tolist(), valid, strict=True)
    )
    return struct.pack("<hhiiiiii", kind, source, 8, 4, turns, count, count, sum(valid)) + body


HEADER3 = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n"


def aedat3(path, made):
    half = len(made) // 2
    path.write_bytes(HEADER3 + packet3(made[:half]) + packet3(made[half:]))


def header4(streams=("EVTS",), size=SIZE, end=-1):
    nodes = "".join(
        f'<node name="{i}"><attr key="typeIdentifier">{kind}</attr><node name="info">'
        f'<attr key="sizeX">{size[1]}</attr><attr key="sizeY">{size[0]}</attr></node></node>'
        for i, kind in enumerate(streams)
    )
    text = f'<dv version="2.0"><node name="outInfo">{nodes}</node></dv>'.encode()
    # The root's place, the identifier, where the three fields are, and the table with them.
    table = struct.pack("<I4s5Hxx", 20, b"IOHE", 10, 20, 4, 12, 8)
    table += struct.pack("<iIIq", 12, 0, 12, end) + struct.pack("<I", len(text)) + text + b"\0"
    return b"#!AER-DAT4.0\r\n" + struct.pack("<I", len(table)) + table


EVENT4 = np.dtype([("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("p", "u1"), ("pad", "V3")])


def packet4(made, stream=0):
    body = np.zeros(len(made), EVENT4)
    for name in "txyp":
        body[name] = made[name]
    table = struct.pack("<I4s3HxxiII", 16, b"EVTS", 6, 8, 4, 8, 4, len(made)) + body.tobytes()
    return struct.pack("<iII", stream, len(table) + 4, len(table)) + table


def aedat4(path, made):
    packets = packet4(made[: len(made) // 3]) + packet4(made[len(made) // 3 :])
    end = len(header4()) + len(packets)
    path.write_bytes(header4(end=end) + packets + b"table")


def npy(path, made):
    np.save(path, made)


def npz(path, made):
    np.savez_compressed(path, **{name: made[name] for name in "xytp"}, height=34, width=34)


def h5(path, made):
    with h5py.File(path, "w") as file:
        group = file.create_group("events")
        for name in "xytp":
            group.create_dataset(
                name, data=made[name], chunks=(16,), maxshape=(None,), compression="gzip"
            )
        group.attrs["height"], group.attrs["width"] = SIZE


def table(path, made):
    """As v2e has events in memory: seconds, x, y and a polarity of -1 or 1."""
    columns = [made["t"] * 1e-6, made["x"], made["y"], made["p"] * 2.0 - 1]
    np.save(path, np.stack(columns, 1) if len(made) else np.empty((0, 4)))


def metavision(path, made):
    with h5py.File(path, "w") as file:
        file.attrs["geometry"] = "34x34"
        dtype = [("x", "<u2"), ("y", "<u2"), ("p", "<i2"), ("t", "<i8")]
        columns = np.empty(len(made), dtype)
        for name in "xytp":
            columns[name] = made[name]
        file.create_dataset(
            "CD/events", data=columns, chunks=(16,), maxshape=(None,), compression="gzip"
        )
        file.create_dataset("CD/indexes", data=np.arange(3))


def mat(path, made):
    from scipy import io

    io.savemat(path, {name: made[name] for name in "xytp"}, do_compression=True)


# By name: the end of the file's name, its writer, and the sensor it states.
FORMATS = {
    "nmnist": (".bin", nmnist, SIZE),
    "aedat1": (".aedat", aedat1, (128, 128)),
    "aedat2": (".aedat", aedat2, (128, 128)),
    "davis": (".aedat", davis, (128, 128)),
    "aedat3": (".aedat", aedat3, (128, 128)),
    "aedat4": (".aedat4", aedat4, SIZE),
    "dat": (".dat", dat, SIZE),
    "evt2": (".raw", evt2, SIZE),
    "evt3": (".raw", evt3, SIZE),
    "npy": (".npy", npy, None),
    "npz": (".npz", npz, SIZE),
    "h5": (".h5", h5, SIZE),
    "table": (".npy", table, None),
    "metavision": (".hdf5", metavision, SIZE),
    "mat": (".mat", mat, None),
}


def write(folder, name, made=None):
    """A file of a format; skips the test where the library for it is missing."""
    if name in LIBRARIES:
        pytest.importorskip(LIBRARIES[name])
    suffix, writer, _ = FORMATS[name]
    path = folder / f"{name}{suffix}"
    path.unlink(missing_ok=True)
    writer(path, events() if made is None else made)
    return path
