"""Arrays of four columns without names: whose columns they are and in which unit they count time.

Of tonic's gestures (x, y, polarity, time in milliseconds), of v2e (time in microseconds or seconds,
x, y, polarity), and of those who keep (x, y, time, polarity). Nothing in such a file says which.
"""

import typing

import numpy as np

from keras_staa.data.formats import contract as shared

COLUMNS = 4
_LAYOUTS = ("xypt", "txyp", "xytp")
# What is looked at to tell: every event is checked later, by what was found.
_PIECES, _PIECE = 8, 2**16
_UNITS = {"us": 1, "ms": 1_000, "s": 1_000_000}


class Layout(typing.NamedTuple):
    """How a table is read.

    Attributes:
        order: the places of x, y, t and p.
        scale: microseconds of one unit of its time.
    """

    order: tuple
    scale: int


def is_table(array):
    """Whether an array of that shape and dtype may be events in rows."""
    return array.ndim == 2 and array.shape[1] == COLUMNS and array.dtype.kind in "iuf"


def layout(path, rows, count):
    """Tell the columns of a table and the unit of its time.

    The polarity is the column with two values at most, the time the one that does not go down. Its
    unit is the one with which the duration is nearer to a second and the rate nearer to 100,000
    events a second, both in powers of ten.

    Args:
        path: path of the file, for the error.
        rows: function of a start and a stop that gives these rows of the table.
        count: how many rows there are.

    Returns:
        A `Layout`.

    Raises:
        ValueError: if more than one order of the columns fits, or none, or more than one unit.
    """
    if not count:
        return Layout((0, 1, 2, 3), 1)
    starts = np.unique(np.linspace(0, max(count - _PIECE, 0), _PIECES).astype(int))
    pieces = [np.asarray(rows(s, min(s + _PIECE, count))) for s in starts.tolist()]
    fitting = [order for order in _LAYOUTS if all(_fits(piece, order) for piece in pieces)]
    if len(fitting) != 1:
        names = "have columns in one of the orders (x, y, p, t), (t, x, y, p) and (x, y, t, p)"
        found = "one that none fits" if not fitting else f"one that {fitting} fit"
        shared.reject(path, f"{names}, or names for them", found)
    order = fitting[0]
    times = [piece[:, order.index("t")].astype(np.float64) for piece in pieces]
    scale = _UNITS[_unit(path, times, count)]
    return Layout(tuple(order.index(name) for name in "xytp"), scale)


def columns(piece, found):
    """x, y, t and p of rows of a table, t in microseconds."""
    x, y, t, p = (piece[:, place] for place in found.order)
    if found.scale > 1:
        exact = t.astype(np.float64) * found.scale
        # What is no number stays one that is refused.
        t = np.where(np.isfinite(exact), np.round(exact), exact)
    return x, y, t, p


def _fits(piece, order):
    x, y, t, p = (piece[:, order.index(name)] for name in "xytp")
    inside = all(((v >= 0) & (v < shared.LONGEST_SIDE) & (v == np.floor(v))).all() for v in (x, y))
    of_two = np.isin(p, (0, 1)).all() or np.isin(p, (-1, 1)).all()
    # Some come late, and a counter may run over; a coordinate goes down at nearly every other step.
    back = np.count_nonzero(t[1:] < t[:-1])
    return inside and of_two and back <= len(t) // 8


def _unit(path, times, count):
    span = max(t.max() for t in times) - min(t.min() for t in times)
    whole = all((t == np.floor(t)).all() for t in times)
    # Of a table in microseconds more than 1, in milliseconds less, in seconds less than 0.001.
    place = span / (100 * np.sqrt(count))
    if whole and (place >= 2 or not span):
        return "us"
    if whole and 2e-3 <= place <= 0.5 or not whole and 2e-3 <= place <= 2:
        return "ms"
    if not whole and place <= 5e-4:
        return "s"
    shared.reject(
        path,
        "have times of which the unit is clear; write whole microseconds under the names x, y, t "
        "and p",
        f"{count} events in {span:g} of some unit",
    )
