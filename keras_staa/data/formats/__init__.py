"""Readers of event-camera recordings, one module a file format.

A reader is imported when the first file of its format is opened, and so is the library it needs.
"""

import dataclasses
import functools
import importlib
import os
import pathlib

from keras_staa import checks
from keras_staa.data.formats.checking import checked
from keras_staa.data.formats.contract import DTYPE, LONGEST_SIDE, Recording, reject
from keras_staa.data.formats.order import ordered

__all__ = ["DTYPE", "FORMATS", "Recording", "Stream", "chunks", "read"]

# File names that end so are read by the module of that name.
FORMATS = {
    ".bin": "nmnist",
    ".aedat": "aedat",
    ".aedat4": "aedat4",
    ".dat": "dat",
    ".raw": "raw",
    ".npy": "numpy_files",
    ".npz": "numpy_files",
    ".h5": "h5",
    ".hdf5": "h5",
    ".mat": "mat",
}

_CHUNK = 1_000_000
# Files are read in smaller pieces: what reading takes besides the events is several times theirs.
_BLOCK = 2**17
_MOST_PIXELS = 2**16  # What x and y of `DTYPE` can count.


def read(path, sensor_size=None):
    """Read a recording of an event camera.

    Formats, by the end of the file's name:

    - `.bin`: N-MNIST and N-Caltech101, five bytes an event. The sensor is taken to be that of
      N-MNIST, 34 x 34, unless `sensor_size` says otherwise.
    - `.aedat`: AEDAT 1.0 and 2.0 of a DVS128 or (2.0) a DAVIS, with x and y as jAER has them (y
      counts from the bottom of the picture); AEDAT 3.1; AEDAT 4.
    - `.aedat4`: AEDAT 4, with the package `aedat`.
    - `.raw`: Prophesee's EVT 2.0 and EVT 3.0.
    - `.dat`: Prophesee's recordings of that name, or AEDAT 1.0.
    - `.npy`, `.npz`: a structured array with fields `x`, `y`, `t` and `p`, or (.npz) an array for
      each. `ts`, `timestamp(s)`, `pol` and `polarity` are read as well. Or an array of the shape
      `(N, 4)`, see below.
    - `.h5`, `.hdf5`: datasets of those names, in the file or in its group `events`, or a compound
      dataset or one of `(N, 4)` as `events`, or `CD/events` of Metavision.
    - `.mat`: variables of those names or a struct that has them (MATLAB 7 and before), or a
      recording of ST-MNIST. Needs SciPy.

    Arrays with names must have `t` in whole microseconds. Those of `(N, 4)` are (x, y, p, t) as
    tonic's, (t, x, y, p) as v2e's, or (x, y, t, p), told by their values: p has two values, t does
    not go down. Their t may be in microseconds, milliseconds or seconds, whichever makes the number
    of events in the time of the recording usual; where two could, or two orders fit, the file is
    refused.

    A counter that ran over goes on: one of 23 bits in `.bin`, 31 in AEDAT 3.1, 34 in EVT 2.0 and 24
    in EVT 3.0, else as wide as the column that holds the times. Events that are out of order by up
    to 10 ms are sorted by time, with a warning that counts them.

    Args:
        path: path of the file.
        sensor_size: optional (height, width). By default that which the file or the format states,
            else the smallest that holds all events.

    Returns:
        A `Recording`.

    Raises:
        ValueError: if the file is damaged, is not of its format, has no events, or has events
            outside the sensor, with a polarity neither in {0, 1} nor in {-1, 1}, or more than 10 ms
            before the one in front of them.
        ImportError: if the format needs a library that is not installed.

    Example:

    ```python
    recording = keras_staa.data.formats.read("Test/7/00042.bin")
    recording.events["t"], recording.sensor_size
    ```
    """
    path, sensor_size = _standardize(path, sensor_size)
    source = _open(path, sensor_size)
    (events,) = ordered(path, _checked(path, source, source.sensor_size))
    stated = source.sensor_size is not None
    return Recording(events, source.sensor_size if stated else _smallest([events]), stated)


def chunks(path, events=_CHUNK, sensor_size=None):
    """Read a recording piece by piece, in memory that its length does not change.

    A file that does not say how large its sensor is, is read once through for it. `.npz` and
    `.mat` files are held in memory as a whole.

    Args:
        path: path of the file, see `read`.
        events: positive integer, how many events a chunk has; the last one has the rest.
        sensor_size: optional (height, width), see `read`.

    Returns:
        A `Stream`. It may be iterated more than once, and reads the file each time. The arrays it
        gives are together those of `read`; if an event comes more than `events` places after those
        of its time, it raises ValueError instead.

    Raises:
        ValueError: as `read` does, here or while iterating.
        ImportError: if the format needs a library that is not installed.

    Example:

    ```python
    stream = keras_staa.data.formats.chunks("long.aedat", events=100_000)
    total = np.zeros((*stream.sensor_size, 2), "int64")
    for events in stream:
        np.add.at(total, (events["y"], events["x"], events["p"]), 1)
    ```
    """
    path, sensor_size = _standardize(path, sensor_size)
    checks.positive_int("events", events)
    size = _open(path, sensor_size, events).sensor_size
    stated = size is not None
    if not stated:
        size = _smallest(_checked(path, _open(path, None, events), None))
    return Stream(path, size, stated, events)


@dataclasses.dataclass(frozen=True)
class Stream:
    """A recording that is read while it is iterated. Made by `chunks`.

    Attributes:
        path: path of the file.
        sensor_size: (height, width).
        stated: as in `Recording`.
        events: how many events a chunk has.

    Example:

    ```python
    longest = max(events["t"][-1] for events in keras_staa.data.formats.chunks("long.h5"))
    ```
    """

    path: str
    sensor_size: tuple
    stated: bool
    events: int

    def __iter__(self):
        source = _open(self.path, self.sensor_size, self.events)
        return ordered(self.path, _checked(self.path, source, self.sensor_size), self.events)


def _standardize(path, sensor_size):
    path = os.fsdecode(path)
    if sensor_size is not None:
        if not isinstance(sensor_size, (tuple, list)) or len(sensor_size) != 2:
            raise ValueError(
                f"`sensor_size` must be (height, width). Received: sensor_size={sensor_size!r}"
            )
        sensor_size = tuple(checks.positive_int("sensor_size", side) for side in sensor_size)
        if max(sensor_size) > _MOST_PIXELS:
            raise ValueError(
                f"`sensor_size` must be at most {_MOST_PIXELS} a side. "
                f"Received: sensor_size={sensor_size}"
            )
    return path, sensor_size


def _open(path, sensor_size, events=_CHUNK):
    """Open a file, with the size that holds: the caller's, if the file allows it."""
    suffix = pathlib.Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise ValueError(f"`path` must end with one of {list(FORMATS)}. Received: path={path!r}")
    with open(path, "rb"):
        pass  # The error of a file that is not there is the same for all formats.
    module = importlib.import_module(f"keras_staa.data.formats.{FORMATS[suffix]}")
    source = module.open_recording(path, min(events, _BLOCK))
    found, fixed = source.sensor_size, source.fixed
    if found and not all(1 <= side <= LONGEST_SIDE for side in found):
        reject(path, f"state a sensor of 1 to {LONGEST_SIDE} pixels a side", f"{found}")
    if sensor_size and found and fixed and found != sensor_size:
        raise ValueError(
            f"`sensor_size` must be that of {path}, {found}. Received: sensor_size={sensor_size}"
        )
    return source._replace(sensor_size=sensor_size or source.sensor_size)


def _checked(path, source, sensor_size):
    return checked(path, source.blocks, sensor_size, source.fixed, source.bits)


def _smallest(blocks):
    """Return the smallest sensor that holds all events."""
    sides = ((int(block["y"].max()) + 1, int(block["x"].max()) + 1) for block in blocks)
    return functools.reduce(lambda a, b: tuple(map(max, a, b)), sides)
