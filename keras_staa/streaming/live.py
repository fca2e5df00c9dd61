"""Frames of a camera that is still recording. Imports neither Keras nor a backend."""

import collections

import numpy as np

from keras_staa import checks
from keras_staa.data.event.frames import Plan, pixels
from keras_staa.data.formats.contract import DTYPE

# Of a pause: beyond it a clock has jumped, and the list of empty frames would fill the memory.
MOST_FRAMES = 1_000_000


class LiveFrames:
    """Count the events of a live camera into frames, one for each time step.

    The frames are those of `keras_staa.data.events` with `window=steps * duration`, if the first
    window begins with the first event.

    Args:
        sensor_size: (height, width) of the camera.
        duration: seconds of a frame, such as the window of the training data over its time steps.
        size: optional (height, width) of the frames; by default that of the sensor.
        normalize: None or a positive integer, for networks that were trained with `normalize=True`:
            each frame is divided by the largest count of so many frames, of itself and of those
            before it. The network's number of time steps is a good choice. Of a whole window the
            largest count is known only at its end.

    Raises:
        ValueError: for an argument outside its range.

    Example:

    >>> from keras_staa.data.formats import DTYPE
    >>> live = LiveFrames((4, 4), duration=0.001)
    >>> events = np.array([(0, 0, 0, 1), (3, 2, 500, 0), (1, 1, 1200, 1)], DTYPE)
    >>> frames = live.push(events)  # the second frame is not over yet
    >>> len(frames), int(frames[0].sum()), frames[0].shape
    (1, 2, (4, 4, 2))
    """

    def __init__(self, sensor_size, duration, size=None, normalize=None):
        sensor_size = checks.pair("sensor_size", sensor_size)
        size = checks.pair("size", size) or sensor_size
        if any(own > most for own, most in zip(size, sensor_size, strict=True)):
            raise ValueError(
                f"`size` must not be larger than the sensor, {sensor_size}. Received: {size}"
            )
        self.duration = round(checks.positive("duration", duration) * 1e6)
        if not self.duration:
            raise ValueError(
                f"`duration` must be at least a microsecond, in seconds. Received: {duration!r}"
            )
        if normalize is not None:
            normalize = checks.positive_int("normalize", normalize)
        self.normalize = normalize
        self._plan = Plan(sensor_size, 1, "time", size)
        self.reset()

    def push(self, events):
        """Count events, and return the frames that are over.

        A frame is over when an event of a later one comes. Frames without events are zeros.

        Args:
            events: structured array of `keras_staa.data.formats.DTYPE`: x, y, t in microseconds
                and p, sorted by t, and not before those of the last call.

        Returns:
            A list of float32 arrays (height, width, 2), the counts of OFF and ON events, with
            `normalize` as shares of the largest.

        Raises:
            ValueError: for another dtype, events outside the sensor or out of order, or a pause of
                more than a million frames.
        """
        events = np.asarray(events)
        self._check(events)
        if not len(events):
            return []
        t = events["t"].astype("int64")
        if self._start is None:
            self._start, self._counts = int(t[0]), self._empty()
        self._last = int(t[-1])
        frame = (t - self._start) // self.duration
        places, at, found = pixels(events, self._plan), 0, []
        steps = np.diff(frame, prepend=0)
        for end in np.flatnonzero(steps):
            self._add(places[at:end])
            found.append(self.flush())
            # A long pause has many frames, and all are the same array.
            pause = int(steps[end]) - 1
            found += [self._empty()] * pause
            self._start += self.duration * pause
            self._largest.extend([0] * min(pause, self.normalize or 0))
            at = end
        self._add(places[at:])
        return found

    def flush(self):
        """Return the frame that is not over yet, and begin the next one."""
        if self._start is None:
            return self._empty()
        counts, self._counts = self._counts, self._empty()
        self._start += self.duration
        return self._normalized(counts)

    def reset(self):
        """Forget all events: the next one begins a frame."""
        self._start = self._counts = self._last = None
        self._largest = collections.deque(maxlen=self.normalize)

    def _normalized(self, counts):
        if self.normalize is None:
            return counts
        self._largest.append(counts.max())
        # A frame without events stays one.
        return counts / np.float32(max(*self._largest, 1))

    def _empty(self):
        return np.zeros((*self._plan.size, 2), "float32")

    def _add(self, places):
        found = np.bincount(places, minlength=self._counts.size)
        self._counts += found.reshape(self._counts.shape)

    def _check(self, events):
        if events.dtype.names is None or not {"x", "y", "t", "p"} <= set(events.dtype.names):
            raise ValueError(
                f"`events` must be a structured array of {DTYPE}. Received: dtype {events.dtype}"
            )
        if not len(events):
            return
        for name in ("x", "y", "t", "p"):
            if events[name].dtype.kind not in "iub":
                raise ValueError(
                    f"`events` must have whole numbers as {name}. Received: {events[name].dtype}"
                )
        height, width = self._plan.sensor_size
        for name, limit in (("x", width), ("y", height), ("p", 2)):
            most, least = events[name].max(), events[name].min()
            if least < 0 or most >= limit:
                raise ValueError(
                    f"`events` must have {name} from 0 to {limit - 1}. "
                    f"Received: {name} from {least} to {most}"
                )
        t = events["t"].astype("int64")
        before = t[0] if self._last is None else self._last
        passed = np.diff(t, prepend=before)
        if (passed < 0).any():
            raise ValueError(
                "`events` must be sorted by t, and not be before those of the last call. "
                f"Received: t from {t.min()} to {t.max()} behind {before}"
            )
        pause = int(passed.max())
        if pause > MOST_FRAMES * self.duration:
            raise ValueError(
                f"`events` must have no pause of more than {MOST_FRAMES} frames; call `reset` "
                f"after one. Received: a pause of {pause} microseconds"
            )
