"""AEDAT 4 recordings, with the package `aedat`, in a process of its own."""

import os
import struct

import numpy as np

from keras_staa.data.formats import contract as shared
from keras_staa.data.formats import process

_VERSION = b"#!AER-DAT4.0\r\n"


def open_recording(path, events):
    """Open a recording.

    Args:
        path: path of the file.
        events: how many events a block may have.

    Returns:
        A `Source`.

    Raises:
        ValueError: if the file is damaged or does not hold the events of one camera.
        ImportError: if the package `aedat` is not installed.
    """
    return process.open_recording("aedat4", path, events)


def parse(path, name, events):
    """As `source`, but in this process; `name` is what errors call the file."""
    with open(path, "rb") as file:
        first = file.read(len(_VERSION))
        if first != _VERSION:
            shared.reject(name, f"start with the line {_VERSION!r}", repr(first))
        (length,) = struct.unpack("<I", file.read(4))
        end = _end_of_data(file.read(length))
    size = os.path.getsize(path)
    # The decoder takes a file that breaks off between two packets for a whole one.
    if end > size:
        shared.reject(name, f"have its {end} bytes of packets; it is truncated", f"{size} bytes")
    try:
        import aedat
    except ImportError as error:
        raise ImportError(
            f"{name} is an AEDAT 4 recording, which is read with the package aedat, which could "
            f"not be imported ({error}). Install it with `pip install aedat`."
        ) from error
    decoder = aedat.Decoder(path)
    streams = {k: s for k, s in decoder.id_to_stream().items() if s["type"] == "events"}
    if len(streams) != 1:
        shared.reject(name, "hold the events of one camera", f"{len(streams)} streams of events")
    ((stream, about),) = streams.items()
    size = about["height"], about["width"]
    return shared.Opened(size, _blocks(decoder, stream, events))


def _end_of_data(header):
    """Where the header, a flatbuffer, says that the packets end; -1 if it does not."""
    (table,) = struct.unpack_from("<I", header)
    (back,) = struct.unpack_from("<i", header, table)
    fields, _, _, field = struct.unpack_from("<4H", header, table - back)
    is_there = fields >= 8 and field
    return struct.unpack_from("<q", header, table + field)[0] if is_there else -1


def _blocks(decoder, stream, events):
    waiting, count = [], 0
    for packet in decoder:
        if packet["stream_id"] == stream:
            # Packets are short; alone, each would cost more to pass on than to read.
            waiting.append(packet["events"])
            count += len(packet["events"])
        if count >= events:
            yield _columns(waiting)
            waiting, count = [], 0
    if waiting:
        yield _columns(waiting)


def _columns(packets):
    block = np.concatenate(packets)
    return block["x"], block["y"], block["t"], block["on"]
