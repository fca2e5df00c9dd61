"""Times as a clock means them: one that ran over goes on, one that started again is refused."""

import numpy as np

from keras_staa.data.formats import contract as shared

# Cameras and their drivers hand events over late, but not later than that (microseconds).
LATE = 10_000
# A counter that ran over is told from one that started again by how soon after the end of its range
# the next event comes. No camera is silent for longer, unless its counter is a short one.
SILENCE = 60_000_000
# A shorter counter is not asked whether its first event belongs before its start: a jump from 5 to
# 65,530 microseconds is no rare pause, one from 5 to 2**32 - 5 is.
_LONG = 2**23


class Clock:
    """Turns the counter's values of one recording into microseconds, block by block.

    A counter of n bits starts again at zero after 2**n microseconds. The column it is kept in says
    how many bits it has, if the format does not: 32 for uint32; 32 (from -2**31 on) or 31 (from
    zero on) for int32. int64 and floats never run over.

    Args:
        path: path of the file, for the error.
        bits: positive integer, of the counter of the format, or None to take those of the column.
        unit: what has a time, for the error.

    Example:

    >>> Clock("a.npy")(np.array([2**32 - 2, 1, 2**32 - 1, 4], "uint32")).tolist()
    [4294967294, 4294967297, 4294967295, 4294967300]
    """

    def __init__(self, path, bits=None, unit="event"):
        self._path, self._bits, self._unit = path, bits, unit
        self._last, self._passed, self._count = None, 0, 0

    def __call__(self, values):
        """Microseconds as int64.

        Args:
            values: array of integers, the next ones of the recording.

        Raises:
            ValueError: if a time is further back than events come late, and the counter did not run
                over.
        """
        periods = self._periods(values.dtype)
        late = min([LATE, *(period // 4 for period in periods)])
        t = values.astype(np.int64)
        if not len(t):
            return t
        steps = np.diff(t, prepend=t[0] if self._last is None else self._last)
        self._last = t[-1]
        jumps = steps.min() < -late or steps.max() >= min(periods, default=np.inf) - late
        turns = _turns(steps, periods, late) if jumps else None
        if turns is not None:
            passed = self._passed + np.cumsum(turns)
            lowest = -max(periods) if min(periods) >= _LONG else 0
            passed -= np.minimum(np.minimum.accumulate(passed) - lowest, 0)
            steps += np.diff(passed, prepend=self._passed)
            self._passed = passed[-1]
            t += passed
        elif self._passed:
            t += self._passed
        if steps.min() < -late:
            self._refuse(t, steps, late)
        self._count += len(t)
        return t

    def _periods(self, dtype):
        if self._bits is not None:
            return (2**self._bits,)
        if dtype.itemsize == 8:
            return ()
        bits = 8 * dtype.itemsize
        return (2**bits,) if dtype.kind == "u" else (2**bits, 2 ** (bits - 1))

    def _refuse(self, t, steps, late):
        place, unit = int(np.argmax(steps < -late)), self._unit
        now, back = int(t[place]), -int(steps[place])
        shared.reject(
            self._path,
            f"have no {unit} more than {late} us before the one in front of it. If its clock was "
            "started again, cut the file there; if its order is another, sort it by time",
            f"{unit} {self._count + place} at {now} us after one at {now + back} us, "
            f"{back} us back",
        )


def _turns(steps, periods, late):
    """Return what each event adds to the time before the counter started, None if nothing."""
    turns = None
    for period in periods:
        silence = min(SILENCE, period // 4)
        over = (steps >= -late - period) & (steps <= silence - period)
        # One that comes late, from before the counter started again.
        under = (steps >= period - late) & (steps < period)
        if over.any() or under.any():
            turns = np.zeros(len(steps), np.int64) if turns is None else turns
            turns[over], turns[under] = period, -period
    return turns
