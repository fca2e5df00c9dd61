"""Turns the events of a recording into frames of counts, piece by piece.

Imports neither Keras nor a backend, since the processes that build a cache start with it.
"""

import dataclasses

import numpy as np

# Recordings of up to so many events are read once; longer ones again for each pass over them.
_HELD = 4_000_000
# Events that are counted at once: what counting takes besides them is several times theirs.
_PIECE = 2**17


@dataclasses.dataclass(frozen=True)
class Plan:
    """How recordings become frames.

    Attributes:
        sensor_size: (height, width) of the recordings.
        steps: positive integer, frames of a sample.
        by: `"time"` or `"count"`, what is alike for the frames of a sample.
        size: (height, width) of the frames.
        window: None for one sample a recording, or the microseconds of a sample.
        stride: None or the microseconds from one sample's start to the next one's.
    """

    sensor_size: tuple
    steps: int
    by: str
    size: tuple
    window: int | None = None
    stride: int | None = None

    @property
    def shape(self):
        """Of a sample: (steps, height, width, 2)."""
        return (self.steps, *self.size, 2)


def samples(chunks, plan):
    """Return the frames of a recording.

    By time, the first `steps - 1` frames are those of tonic's `ToFrame(n_time_bins=steps)` and the
    last also has the events that tonic leaves out: the microseconds that are over when the duration
    is divided by `steps`, and the last event. By count, the same holds of the events that are over
    when their number is divided (`n_event_bins`). Windows start where those of tonic's
    `SliceByTime` do: a last one that would pass the end of the recording is left out, and a
    recording shorter than a window is one sample. Each window is divided by its own length in time,
    so a frame stands for the same time in all of them. Windows without events are left out.

    Args:
        chunks: iterable, if need be more than once, of arrays of `formats.DTYPE` sorted by time.
        plan: a `Plan`.

    Yields:
        (start, frames): microseconds from the first event of the recording to the window's start,
        and counts `(steps, height, width, 2)` of OFF and ON events, in the smallest unsigned dtype.

    Example:

    >>> from keras_staa.data.formats import DTYPE
    >>> events = np.array([(2, 1, 10, 1), (2, 1, 12, 1), (0, 0, 19, 0)], DTYPE)
    >>> [(start, frames)] = samples([events], Plan((2, 4), 2, "time", (1, 2)))
    >>> frames[:, 0, :, 1].tolist()  # ON events of both steps; a pixel stands for 2 x 2
    [[0, 2], [0, 0]]
    """
    chunks = _held(chunks)
    first, last, count = _extent(chunks)
    if plan.window is None:
        starts, ends, length = np.array([first]), np.array([last + 1]), last - first
    else:
        number = max((last - first - plan.window) // plan.stride + 1, 1)
        starts = first + plan.stride * np.arange(number)
        ends, length = starts + plan.window, plan.window
    begins, stops = (0, count) if plan.window is None else _places(chunks, starts, ends)
    begins, stops = np.atleast_1d(begins), np.atleast_1d(stops)
    duration = max(length // plan.steps, 1)
    offset, at, open_ = 0, 0, {}
    for chunk in _pieces(chunks):
        t = np.ascontiguousarray(chunk["t"])
        pixel = pixels(chunk, plan)
        for k in range(at, len(starts)):
            if begins[k] >= offset + len(chunk):
                break
            part = slice(max(begins[k] - offset, 0), max(stops[k] - offset, 0))
            if plan.by == "time":
                step = (t[part] - starts[k]) // duration
            else:
                each = max((stops[k] - begins[k]) // plan.steps, 1)
                place = np.arange(part.start, min(part.stop, len(chunk)))
                step = (place + (offset - begins[k])) // each
            step = np.minimum(step, plan.steps - 1)
            places = step * (plan.size[0] * plan.size[1] * 2) + pixel[part]
            counts = np.bincount(places, minlength=np.prod(plan.shape))
            open_[k] = open_[k] + counts if k in open_ else counts
            if stops[k] <= offset + len(chunk):
                frames = open_.pop(k).reshape(plan.shape)
                at = k + 1
                if stops[k] > begins[k]:
                    yield int(starts[k] - first), frames.astype(np.min_scalar_type(frames.max()))
        offset += len(chunk)


def _held(chunks):
    """Return the chunks as a list, unless they are too many to keep."""
    held, count = [], 0
    for chunk in chunks:
        held.append(chunk)
        count += len(chunk)
        if count > _HELD:
            return chunks
    return held


def _pieces(chunks):
    for chunk in chunks:
        for start in range(0, len(chunk), _PIECE):
            yield chunk[start : start + _PIECE]


def _extent(chunks):
    """Return the times of the first and the last event, and how many there are."""
    first, last, count = None, None, 0
    for chunk in chunks:
        first = int(chunk["t"][0]) if first is None else first
        last = int(chunk["t"][-1])
        count += len(chunk)
    return first, last, count


def _places(chunks, starts, ends):
    """How many events of the recording lie before each start and before each end."""
    begins, stops = np.zeros(len(starts), np.int64), np.zeros(len(ends), np.int64)
    for chunk in chunks:
        t = np.ascontiguousarray(chunk["t"])
        begins += np.searchsorted(t, starts)
        stops += np.searchsorted(t, ends)
    return begins, stops


def pixels(events, plan):
    """Return the place of each event within a frame."""
    (height, width), (rows, columns) = plan.sensor_size, plan.size
    y, x = events["y"].astype(np.int64), events["x"].astype(np.int64)
    if plan.size != plan.sensor_size:
        y, x = y * rows // height, x * columns // width
    return (y * columns + x) * 2 + events["p"]
