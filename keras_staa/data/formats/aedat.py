"""AEDAT recordings: versions 1.0 and 2.0 of a DVS128, and the way to the versions 3.1 and 4."""

import os
import re

import numpy as np

from keras_staa.data.formats import aedat3, aedat4
from keras_staa.data.formats import events as shared

SENSOR_SIZE = (128, 128)

_VERSION = re.compile(rb"#!AER-DAT(\d+\.\d+)\s*$")
_WORDS = {
    b"1.0": np.dtype([("address", ">u2"), ("time", ">u4")]),
    b"2.0": np.dtype([("address", ">u4"), ("time", ">u4")]),
}
_READ = "1.0, 2.0, 3.1 and 4.0"
# Cameras whose addresses are those of the DVS128, by the last part of the name jAER gives them.
_CHIPS = ("DVS128", "Tmpdiff128")
# A sync pulse or another special event; neither has a pixel.
_SPECIAL = 1 << 15 | 1 << 31
_LONGEST_LINE, _LONGEST_HEADER = 2**16, 2**24


def source(path, events):
    """Open a recording.

    For a DVS128 the address is read as jAER does: x counts from the left, y from the bottom of the
    picture, and an event is ON where the lowest bit is 0.

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
            return aedat3.source(path, events)
        if version == b"4.0":
            return aedat4.source(path, events)
        if version not in _WORDS:
            wanted = f"start with the line '#!AER-DAT' and a version out of {_READ}"
            shared.reject(path, wanted, repr(first[:32]))
        _check_chip(path, _header(path, file, version))
        start = file.tell()
    words, size = _WORDS[version], os.path.getsize(path) - start
    if size % words.itemsize:
        wanted = f"have {words.itemsize} bytes for each event after its header; it is truncated"
        shared.reject(path, wanted, f"{size} bytes, {size % words.itemsize} too many")
    return shared.Source(SENSOR_SIZE, _blocks(path, start, words, events))


def _header(path, file, version):
    """The lines that start with '#', leaving the file at the first event."""
    lines, total = [], 0
    while total < _LONGEST_HEADER:
        place, line = file.tell(), file.readline(_LONGEST_LINE)
        is_text = line.startswith(b"#") and line.endswith(b"\n")
        # In version 1.0 the events of row 35 start with '#' as well, but are no text. In version
        # 2.0 no event of a DVS128 does, and a name in the header may be in any encoding.
        if version == b"1.0":
            is_text = is_text and line.endswith(b"\r\n") and line.isascii()
            is_text = is_text and line[:-2].decode().replace("\t", " ").isprintable()
        if not is_text:
            file.seek(place)
            return lines
        lines.append(line)
        total += len(line)
        if line.startswith(b"#End Of ASCII Header"):
            return lines
    shared.reject(path, f"have a header below {_LONGEST_HEADER} bytes", f"{total} bytes")


def _check_chip(path, lines):
    for line in lines:
        name, _, value = line.strip(b"# \t\r\n").partition(b":")
        if name == b"AEChip":
            chip = value.decode("latin-1").strip()
            if chip.rpartition(".")[2].lower() not in [known.lower() for known in _CHIPS]:
                shared.reject(path, f"be of a camera out of {list(_CHIPS)}", f"AEChip {chip!r}")


def _blocks(path, start, words, events):
    with open(path, "rb") as file:
        file.seek(start)
        while len(raw := np.fromfile(file, words, events)):
            address, time = raw["address"].astype(np.uint32), raw["time"]
            event = (address & _SPECIAL) == 0
            if not event.all():
                address, time = address[event], time[event]
            if len(address) and address.max() >= 1 << 15:
                wanted = f"have addresses of a camera out of {list(_CHIPS)}, below {1 << 15}"
                shared.reject(path, wanted, f"{address.max()}")
            x, y = 127 - (address >> 1 & 127), address >> 8 & 127
            yield x, y, time, 1 - (address & 1)
