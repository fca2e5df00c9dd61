"""N-MNIST and N-Caltech101 recordings (.bin): five bytes an event."""

import numpy as np

from keras_staa.data.formats import contract as shared

# N-MNIST has this sensor; other data sets of the format have another, and no file says which.
SENSOR_SIZE = (34, 34)

_BYTES, _BITS = 5, 23  # Of an event, and of its time.
# An event in this row is none, but tells that the clock of the camera ran over.
_OVERFLOW_ROW, _OVERFLOW_TIME = 240, 2**13


def open_recording(path, events):
    """Open a recording.

    Args:
        path: path of the file.
        events: how many events a block may have.

    Returns:
        A `Source`.

    Raises:
        ValueError: if the file ends within an event.
    """
    shared.whole_records(path, 0, _BYTES, "event", " or no N-MNIST recording")
    return shared.Opened(SENSOR_SIZE, _blocks(path, events), fixed=False, bits=_BITS)


def _blocks(path, events):
    passed = 0
    with open(path, "rb") as file:
        while len(raw := np.fromfile(file, np.uint8, events * _BYTES)):
            x, y, high, middle, low = raw[: len(raw) // _BYTES * _BYTES].reshape(-1, _BYTES).T
            t = (high & 127).astype(np.int64) << 16
            t |= middle.astype(np.int64) << 8
            t |= low
            p = high >> 7
            overflow = y == _OVERFLOW_ROW
            if passed or overflow.any():
                overflows = passed + np.cumsum(overflow)
                passed = overflows[-1]
                t += _OVERFLOW_TIME * overflows
                x, y, t, p = (values[~overflow] for values in (x, y, t, p))
            yield x, y, t, p
