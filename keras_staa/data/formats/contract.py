"""What every reader gives, and how it refuses a file."""

import dataclasses
import os
import typing

import numpy as np

DTYPE = np.dtype([("x", np.uint16), ("y", np.uint16), ("t", np.int64), ("p", np.uint8)])

# No event camera has a longer side. Without the bound one damaged number in a file would make
# frames of its events as large as memory.
LONGEST_SIDE = 4096


class Opened(typing.NamedTuple):
    """What the reader of one format found in a file.

    Attributes:
        sensor_size: (height, width), or None if neither the file nor the format says.
        blocks: generator of (x, y, t, p), four arrays of one length, in the order of the file.
        fixed: boolean. If False, `sensor_size` is only what files of this format mostly have.
        bits: how many bits the counter of the times has, None if its column says that.
    """

    sensor_size: tuple | None
    blocks: typing.Iterable
    fixed: bool = True
    bits: int | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Recording:
    """The events of one recording, sorted by time.

    Attributes:
        events: structured array with the fields `x` and `y` (uint16), `t` (int64, microseconds)
            and `p` (uint8, 1 for ON and 0 for OFF).
        sensor_size: (height, width) in pixels.
        stated: boolean. False if neither the file nor the caller said how large the sensor is, and
            `sensor_size` therefore is the smallest that holds all events.

    Example:

    >>> events = np.array([(2, 1, 10, 1), (2, 1, 30, 1), (0, 0, 35, 0)], dtype=DTYPE)
    >>> recording = Recording(events, sensor_size=(2, 3))
    >>> len(recording), recording.duration
    (3, 25)
    >>> recording.counts()[1, 2].tolist()  # OFF and ON events of the pixel x=2, y=1
    [0, 2]
    """

    events: np.ndarray
    sensor_size: tuple
    stated: bool = True

    def __len__(self):
        return len(self.events)

    @property
    def duration(self):
        """Microseconds from the first event to the last."""
        return int(self.events["t"][-1] - self.events["t"][0]) if len(self) else 0

    def counts(self):
        """How many OFF and ON events each pixel has: int64 `(height, width, 2)`."""
        height, width = self.sensor_size
        pixel = (self.events["y"].astype(np.int64) * width + self.events["x"]) * 2
        flat = np.bincount(pixel + self.events["p"], minlength=height * width * 2)
        return flat.reshape(height, width, 2)


class Rejected(ValueError):
    """A file is not as it must be; its text is complete."""


def reject(path, allowed, received):
    """Raise the error of a file that is not as it must be."""
    raise Rejected(f"{path} must {allowed}. Received: {received}")


def whole_records(path, start, size, what="event after its header", otherwise=""):
    """Check that a file does not end within a record.

    Args:
        path: path of the file.
        start: where its records start, in bytes.
        size: bytes of a record.
        what: of which a record is, for the error.
        otherwise: what the file may be besides truncated, for the error.

    Raises:
        ValueError: if it does.
    """
    found = os.path.getsize(path) - start
    if found % size:
        wanted = f"have {size} bytes for each {what}; it is truncated{otherwise}"
        reject(path, wanted, f"{found} bytes, {found % size} too many")
