"""The names under which files of arrays keep the parts of an event."""

import numpy as np

from keras_staa.data.formats import contract as shared

NAMES = {
    "x": ("x", "xs"),
    "y": ("y", "ys"),
    "t": ("t", "ts", "timestamp", "timestamps"),
    "p": ("p", "ps", "pol", "polarity"),
}


def find(names):
    """Return the names that stand for x, y, t and p.

    Args:
        names: names that a file has.

    Returns:
        A list of four names, or None if one of the four is missing.

    Example:

    >>> find(["timestamps", "x", "y", "pol", "label"])
    ['x', 'y', 'timestamps', 'pol']
    """
    lower = {str(name).lower(): name for name in names}
    found = [next((lower[n] for n in known if n in lower), None) for known in NAMES.values()]
    return None if None in found else found


def wanted():
    """Return the names that `find` knows, for errors."""
    return ", ".join("/".join(known) for known in NAMES.values())


def sensor_size(path, values):
    """Return the sensor that a file states as `height` and `width`.

    Args:
        path: path of the file, for the error.
        values: mapping from names to what the file has under them.

    Returns:
        (height, width), or None if the file does not state both.

    Raises:
        ValueError: if one is no positive integer.
    """
    if "height" not in values or "width" not in values:
        return None
    sides = [np.asarray(values[name]) for name in ("height", "width")]
    if any(side.size != 1 or side.dtype.kind not in "iu" or side.min() < 1 for side in sides):
        shared.reject(path, "have positive integers as height and width", f"{sides}")
    return tuple(int(side.item()) for side in sides)
