"""What every reader gives, and the checks that all of them share."""

import dataclasses
import typing

import numpy as np

DTYPE = np.dtype([("x", np.uint16), ("y", np.uint16), ("t", np.int64), ("p", np.uint8)])

# No event camera has a longer side. Without the bound one damaged number in a file would make
# frames of its events as large as memory.
LONGEST_SIDE = 4096


class Source(typing.NamedTuple):
    """What the reader of one format found in a file.

    Attributes:
        sensor_size: (height, width), or None if neither the file nor the format says.
        blocks: generator of (x, y, t, p), four arrays of one length, in the order of the file.
        fixed: boolean. If False, `sensor_size` is only what files of this format mostly have.
    """

    sensor_size: tuple | None
    blocks: typing.Iterable
    fixed: bool = True


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


def checked(path, blocks, sensor_size, fixed=True):
    """Blocks as arrays of `DTYPE`, each event inside the sensor and of a valid polarity.

    Args:
        path: path of the file, for the errors.
        blocks: iterable of (x, y, t, p).
        sensor_size: (height, width), or None for any that an event camera has.
        fixed: boolean. If False, the error says that the sensor may be another.

    Yields:
        Structured arrays of `DTYPE`, none of them empty, in the order of the file.

    Raises:
        ValueError: if an event is not allowed, or there is none.
    """
    height, width = sensor_size or (LONGEST_SIDE, LONGEST_SIDE)
    lowest, zeros, total = 0, False, 0
    for columns in blocks:
        x, y, t, p = (_integers(path, *pair) for pair in zip("xytp", columns, strict=True))
        if not len(x) == len(y) == len(t) == len(p):
            lengths = [len(values) for values in (x, y, t, p)]
            reject(path, "have as many x as y, t and p", f"{lengths} values")
        if not len(x):
            continue
        _within(path, "x", x, width - 1, sensor_size, fixed)
        _within(path, "y", y, height - 1, sensor_size, fixed)
        lowest, zeros = min(lowest, int(p.min())), zeros or bool((p == 0).any())
        if lowest < -1 or p.max() > 1 or (lowest < 0 and zeros):
            found = np.unique(p)[:4].tolist()
            reject(path, "have polarities in {0, 1} or in {-1, 1}", f"{found} among others")
        block = np.empty(len(x), DTYPE)
        block["x"], block["y"], block["t"], block["p"] = x, y, t, p > 0
        total += len(block)
        yield block
    if not total:
        reject(path, "hold events", "a file without any")


def _integers(path, name, values):
    values = np.asarray(values)
    if values.ndim != 1 or values.dtype.kind not in "biuf":
        received = f"shape {values.shape} of {values.dtype}"
        reject(path, f"have a row of numbers as {name}", received)
    if values.dtype.kind == "b":
        return values.view(np.uint8)
    if values.dtype.kind == "f":
        # False for NaN as well.
        whole = np.equal(values, np.floor(values)) & (np.abs(values) < 2.0**62)
        if not whole.all():
            wanted = f"have whole numbers as {name}" + (" (microseconds)" if name == "t" else "")
            reject(path, wanted, f"{values[~whole][0]} as event {int(np.argmin(whole))}")
        return values.astype(np.int64)
    if values.dtype.itemsize == 8 and len(values):
        low, high = int(values.min()), int(values.max())
        # So that the difference of two times is a time.
        if low < -(2**62) or high >= 2**62:
            reject(path, f"have every {name} in [-2**62, 2**62)", f"{name} from {low} to {high}")
    return values


def _within(path, name, values, most, sensor_size, fixed):
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > most:
        height, width = sensor_size or ("any", "any")
        wanted = f"have every {name} in [0, {most}], for a sensor of {height} x {width} pixels"
        if sensor_size is None or not fixed:
            wanted += "; give `sensor_size` if it is larger"
        reject(path, wanted, f"{name} from {low} to {high}")
