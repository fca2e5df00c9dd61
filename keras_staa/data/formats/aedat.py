"""AEDAT recordings: versions 1.0 and 2.0, and the way to the versions 3.1 and 4."""

import functools
import re

import numpy as np

from keras_staa.data.formats import aedat3, aedat4
from keras_staa.data.formats import contract as shared

SENSOR_SIZE = (128, 128)

_VERSION = re.compile(rb"#!AER-DAT(\d+\.\d+)\s*$")
_WORDS = {
    b"1.0": np.dtype([("address", ">u2"), ("time", ">u4")]),
    b"2.0": np.dtype([("address", ">u4"), ("time", ">u4")]),
}
_READ = "1.0, 2.0, 3.1 and 4.0"
# Cameras whose addresses are those of the DVS128, by the last part of the name jAER gives them.
_DVS128 = ("dvs128", "tmpdiff128")
# (height, width) of those with the addresses of a DAVIS, by how that part starts.
_DAVIS = {
    "davis128": (128, 128),
    "davis208": (192, 208),
    "davis240": (180, 240),
    "davis346": (260, 346),
    "davis640": (480, 640),
}
_CHIPS = ["DVS128", "Tmpdiff128", *(name.upper() for name in _DAVIS)]
# A sync pulse or another special event of a DVS128; neither has a pixel.
_SPECIAL = 1 << 15 | 1 << 31
# Of a DAVIS: pixels of its frames and its inertial sensor, or a signal from outside.
_OTHER = 1 << 31 | 1 << 10
_LONGEST_LINE, _LONGEST_HEADER = 2**16, 2**24


def open_recording(path, events):
    """Open a recording.

    Addresses are read as jAER does: x counts from the left, y from the bottom of the picture. A
    file without the name of a camera is one of a DVS128.

    Args:
        path: path of the file.
        events: how many events a block may have.

    Returns:
        A `Source`.

    Raises:
        ValueError: if the header is not that of a version and camera that can be read, or the file
            ends within an event.
    """
    with open(path, "rb") as file:
        first = file.readline(64)
        match = _VERSION.match(first)
        version = match.group(1) if match else None
        if version == b"3.1":
            return aedat3.open_recording(path, events)
        if version == b"4.0":
            return aedat4.open_recording(path, events)
        if version not in _WORDS:
            wanted = f"start with the line '#!AER-DAT' and a version out of {_READ}"
            shared.reject(path, wanted, repr(first[:32]))
        sensor_size, columns = _camera(path, _header(path, file, version), version)
        start = file.tell()
    words = _WORDS[version]
    shared.whole_records(path, start, words.itemsize)
    return shared.Opened(sensor_size, _blocks(path, start, words, columns, events))


def _header(path, file, version):
    """Return the lines that start with '#', leaving the file at the first event."""
    lines, total = [], 0
    # Events of some rows start with '#' as well: in version 1.0, and of a DAVIS in version 2.0. Of
    # a DVS128 none does in version 2.0, and a name in the header may be in any encoding.
    strict = version == b"1.0"
    while total < _LONGEST_HEADER:
        place, line = file.tell(), file.readline(_LONGEST_LINE)
        is_text = line.startswith(b"#") and line.endswith(b"\n")
        if not is_text or (strict and not _is_plain(line, version)):
            file.seek(place)
            return lines
        lines.append(line)
        total += len(line)
        if line.startswith(b"#End Of ASCII Header"):
            return lines
        strict = strict or b"davis" in (_chip(line) or "").lower().encode()
    shared.reject(path, f"have a header below {_LONGEST_HEADER} bytes", f"{total} bytes")


def _is_plain(line, version):
    # The first byte of the time, which stands within the line if it is an event, is a control
    # character in the first nine minutes.
    highest = 126 if version == b"1.0" else 255
    text = line.removesuffix(b"\n").removesuffix(b"\r").replace(b"\t", b" ")
    ended = line.endswith(b"\r\n") or version != b"1.0"
    return ended and all(32 <= byte <= highest for byte in text)


def _chip(line):
    name, _, value = line.strip(b"# \t\r\n").partition(b":")
    return value.decode("latin-1").strip() if name == b"AEChip" else None


def _camera(path, lines, version):
    """Return the (height, width) of the camera in a header, and what reads its addresses."""
    for line in lines:
        if (chip := _chip(line)) is None:
            continue
        known = chip.rpartition(".")[2].lower()
        size = next((size for name, size in _DAVIS.items() if known.startswith(name)), None)
        if size and version == b"2.0":
            return size, functools.partial(_of_davis, size[1])
        if known not in _DVS128:
            shared.reject(path, f"be of a camera out of {_CHIPS}", f"AEChip {chip!r}")
    return SENSOR_SIZE, functools.partial(_of_dvs128, path)


def _of_dvs128(path, address, time):
    event = (address & _SPECIAL) == 0
    if not event.all():
        address, time = address[event], time[event]
    if len(address) and address.max() >= 1 << 15:
        wanted = f"have addresses of a DVS128, below {1 << 15}, or name a camera out of {_CHIPS}"
        shared.reject(path, wanted, f"{address.max()}")
    return 127 - (address >> 1 & 127), address >> 8 & 127, time, 1 - (address & 1)


def _of_davis(width, address, time):
    event = (address & _OTHER) == 0
    address, time = address[event].astype(np.int64), time[event]
    return width - 1 - (address >> 12 & 0x3FF), address >> 22 & 0x1FF, time, address >> 11 & 1


def _blocks(path, start, words, columns, events):
    with open(path, "rb") as file:
        file.seek(start)
        while len(raw := np.fromfile(file, words, events)):
            yield columns(raw["address"].astype(np.uint32), raw["time"])
