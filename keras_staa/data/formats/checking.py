"""The checks that events of every format pass."""

import numpy as np

from keras_staa.data.formats.clock import Clock
from keras_staa.data.formats.contract import DTYPE, LONGEST_SIDE, reject


def checked(path, blocks, sensor_size, fixed=True, bits=None):
    """Blocks as arrays of `DTYPE`, each event inside the sensor and of a valid polarity.

    Args:
        path: path of the file, for the errors.
        blocks: iterable of (x, y, t, p).
        sensor_size: (height, width), or None for any that an event camera has.
        fixed: boolean. If False, the error says that the sensor may be another.
        bits: how many bits the counter of the times has, None if its column says that.

    Yields:
        Structured arrays of `DTYPE`, none of them empty, in the order of the file.

    Raises:
        ValueError: if an event is not allowed, or there is none, or the clock started again.
    """
    height, width = sensor_size or (LONGEST_SIDE, LONGEST_SIDE)
    lowest, zeros, total, clock = 0, False, 0, Clock(path, bits)
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
        block["x"], block["y"], block["t"], block["p"] = x, y, clock(t), p > 0
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
