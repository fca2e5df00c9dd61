"""Prophesee's recordings (.dat) of eight bytes an event; jAER's of that name are AEDAT 1.0."""

import numpy as np

from keras_staa.data.formats import aedat, prophesee
from keras_staa.data.formats import contract as shared

_EVENT = np.dtype([("time", "<u4"), ("address", "<u4")])
# Of a byte in front of the events: both are events of pixels, as older and newer writers call them.
_TYPES = (0, 12)
# How many bits of an address y and the polarity are shifted by. Version 2 has larger sensors.
_OLD, _NEW = (9, 17), (14, 28)


def open_recording(path, events):
    """Open a recording.

    Args:
        path: path of the file.
        events: how many events a block may have.

    Returns:
        A `Source`, without a size if the header states none.

    Raises:
        ValueError: if the header is not that of such a file, or the file ends within an event.
    """
    with open(path, "rb") as file:
        if file.read(9) == b"#!AER-DAT":
            return aedat.open_recording(path, events)
        file.seek(0)
        fields = prophesee.header(path, file)
        kind = file.read(2)
        start = file.tell()
    if len(kind) < 2 or kind[0] not in _TYPES or kind[1] != _EVENT.itemsize:
        wanted = f"have events of a type out of {_TYPES} and of {_EVENT.itemsize} bytes"
        shared.reject(path, wanted, f"{list(kind)} behind the header")
    version = fields.get("version", "0")
    if not version.isdecimal() or len(version) > 3:
        shared.reject(path, "have a number as Version", repr(version))
    shared.whole_records(path, start, _EVENT.itemsize)
    shifts = _NEW if int(version) >= 2 else _OLD
    return shared.Opened(prophesee.sensor_size(fields), _blocks(path, start, shifts, events))


def _blocks(path, start, shifts, events):
    y_at, p_at = shifts
    x_mask, y_mask = (1 << y_at) - 1, (1 << p_at - y_at) - 1
    with open(path, "rb") as file:
        file.seek(start)
        while len(raw := np.fromfile(file, _EVENT, events)):
            address = raw["address"]
            yield address & x_mask, address >> y_at & y_mask, raw["time"], address >> p_at
