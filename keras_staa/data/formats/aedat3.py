"""AEDAT 3.1 recordings: packets of typed events, of which the polarity events are read."""

import os
import struct
import typing

import numpy as np

from keras_staa.data.formats import contract as shared

_HEAD = struct.Struct("<hhiiiiii")
_POLARITY = 1
_EVENT = np.dtype([("data", "<u4"), ("time", "<i4")])
_FAR = 1_000_000
_BITS = 31  # Of a time, besides its packet's turns.
_LONGEST_LINE, _LONGEST_HEADER = 2**16, 2**24
# (height, width) by the start of the name in the header.
_CAMERAS = {
    "DVS128": (128, 128),
    "DAVIS128": (128, 128),
    "DAVIS240": (180, 240),
    "DAVIS346": (260, 346),
    "DAVIS640": (480, 640),
}


class _Packet(typing.NamedTuple):
    kind: int
    origin: int
    each: int  # Bytes of an event.
    time_at: int  # Where in an event its time is.
    turns: int  # How often the clock ran over before.
    capacity: int
    number: int
    valid: int


def open_recording(path, events, between=None):
    """Open a recording.

    Args:
        path: path of the file.
        events: how many events a block may have.
        between: None or two times in microseconds. Packets that end before the first or start after
            the second, by a second and more, are left out unread.

    Returns:
        A `Source`, without a size if the header names no known camera.

    Raises:
        ValueError: if the header is not that of a file in the format RAW.
    """
    with open(path, "rb") as file:
        sensor_size = _sensor_size(path, _header(path, file))
        start = file.tell()
    return shared.Opened(sensor_size, _blocks(path, start, events, between), bits=_BITS)


def _header(path, file):
    lines, total = [], 0
    while total < _LONGEST_HEADER:
        line = file.readline(_LONGEST_LINE)
        if line.strip() == b"#!END-HEADER":
            return lines
        if not (line.startswith(b"#") and line.endswith(b"\n")):
            break
        lines.append(line.decode("latin-1").strip())
        total += len(line)
    shared.reject(path, "have header lines that end with '#!END-HEADER'", f"{line[:32]!r}")


def _sensor_size(path, lines):
    sizes = set()
    for line in lines:
        name, _, value = line.lstrip("#").partition(":")
        value = value.strip()
        if name == "Format" and value != "RAW":
            shared.reject(path, "be in the format RAW", f"#Format: {value}")
        if name.startswith("Source "):
            sizes.add(next((s for n, s in _CAMERAS.items() if value.upper().startswith(n)), None))
    return sizes.pop() if len(sizes) == 1 else None


def _blocks(path, start, events, between):
    origins = set()
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        file.seek(start)
        while head := file.read(_HEAD.size):
            packet = _packet(path, head, file.tell(), size)
            if packet.kind != _POLARITY:
                file.seek(packet.number * packet.each, os.SEEK_CUR)
                continue
            origins.add(packet.origin)
            if len(origins) > 1:
                shared.reject(path, "hold the events of one camera", f"the sources {origins}")
            if between and packet.number and _is_apart(file, packet, between):
                file.seek(packet.number * packet.each, os.SEEK_CUR)
                continue
            for first in range(0, packet.number, events):
                raw = np.fromfile(file, _EVENT, min(events, packet.number - first))
                # Some writers count an event as valid in the head without marking it so itself.
                if packet.valid != packet.number:
                    raw = raw[(raw["data"] & 1) == 1]
                yield _decode(path, raw, packet.turns)


def _packet(path, head, place, size):
    """Return the head that ends at a place of the file, if its events can follow."""
    if len(head) < _HEAD.size:
        wanted = f"have {_HEAD.size} bytes as head of each packet; it is truncated"
        shared.reject(path, wanted, f"{len(head)} bytes before byte {place}")
    packet = _Packet(*_HEAD.unpack(head))
    if packet.number < 0 or packet.each <= 0 or packet.capacity != packet.number:
        wanted = "have packets of 0 or more events, with no room for further ones"
        shared.reject(path, wanted, f"{packet} before byte {place}")
    if place + packet.number * packet.each > size:
        wanted = f"have {packet.number * packet.each} bytes from byte {place}; it is truncated"
        shared.reject(path, wanted, f"{size - place} bytes")
    is_plain = packet.each == _EVENT.itemsize and packet.time_at == _EVENT.fields["time"][1]
    if packet.kind == _POLARITY and not (is_plain and packet.turns >= 0):
        wanted = "have polarity events of 8 bytes with the time at byte 4, after 0 or more turns"
        shared.reject(path, wanted, f"{packet} before byte {place}")
    return packet


def _is_apart(file, packet, between):
    """Whether the first and the last event of the packet that comes next are far from a part."""
    place, times = file.tell(), []
    for number in (0, packet.number - 1):
        file.seek(place + number * packet.each)
        times.append(int(np.fromfile(file, _EVENT, 1)["time"][0]) + (packet.turns << _BITS))
    file.seek(place)
    return max(times) < between[0] - _FAR or min(times) > between[1] + _FAR


def _decode(path, raw, turns):
    data, time = raw["data"], raw["time"].astype(np.int64)
    if len(time) and time.min() < 0:
        shared.reject(path, "have timestamps of 0 or more", f"{time.min()}")
    return data >> 17, data >> 2 & 0x7FFF, time + (turns << _BITS), data >> 1 & 1
