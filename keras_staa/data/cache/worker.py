"""Reads recordings into compressed frames, in this process or as the program of another."""

import os
import pathlib
import pickle
import sys
import types
import warnings
import zlib

if __name__ == "__main__" and sys.argv[1] == "alone":
    # The package itself would import Keras and its backend.
    package = pathlib.Path(__file__).parents[2]
    for name, folder in (("keras_staa", package), ("keras_staa.data", package / "data")):
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__path__ = [str(folder)]

from keras_staa.data import formats  # noqa: E402
from keras_staa.data.event import frames  # noqa: E402
from keras_staa.data.formats import checking, order  # noqa: E402
from keras_staa.data.formats import contract as shared  # noqa: E402

LEVEL = 2  # Deflate's. Higher ones take longer than all the rest for a few percent.
_PIECE = 2**22


def measure(address, tables, sensor_size):
    """Return the sensor of a recording.

    Args:
        address: path of a file, or (which of `tables`, index in it).
        tables: list of tonic data sets.
        sensor_size: None or (height, width).

    Returns:
        (sensor size, whether the file states it).
    """
    stream = _stream(address, tables, sensor_size)
    return tuple(stream.sensor_size), stream.stated


def convert(address, tables, plan):
    """Return the samples of a recording, compressed.

    Args:
        address: as in `measure`.
        tables: as in `measure`.
        plan: a `frames.Plan`.

    Yields:
        (windows, end, warnings). `windows` is a list of (start in microseconds, bytes of a count,
        compressed frames), `end` whether they were the last ones, and `warnings` is a list of
        strings, empty but at the end.
    """
    windows, size = [], 0
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for start, counts in frames.samples(_stream(address, tables, plan.sensor_size), plan):
            windows.append((start, counts.itemsize, zlib.compress(counts.tobytes(), LEVEL)))
            size += len(windows[-1][2])
            if size > _PIECE:
                yield windows, False, []
                windows, size = [], 0
    # A long recording is read more than once, and warns each time.
    yield windows, True, list(dict.fromkeys(str(item.message) for item in caught))


def _stream(address, tables, sensor_size):
    if isinstance(address, str):
        return formats.chunks(address, sensor_size=sensor_size)
    table, index = address
    return _of_tonic(f"recording {index} of {tables[table]!r}", tables[table][index], sensor_size)


class _of_tonic(list):
    """Events of a tonic data set as a stream of one chunk, checked as those of files are."""

    def __init__(self, name, sample, sensor_size):
        events = sample[0]
        names = getattr(getattr(events, "dtype", None), "names", None) or ()
        if not set("xytp") <= set(names):
            wanted = "be a structured array with x, y, t and p; give a data set without transforms"
            shared.reject(name, wanted, f"{type(events).__name__} with fields {names}")
        # ASL-DVS comes as one column.
        events = events[:, 0] if events.ndim == 2 and events.shape[1] == 1 else events
        columns = tuple(events[field] for field in "xytp")
        super().__init__(order.ordered(name, checking.checked(name, [columns], sensor_size)))
        self.stated = sensor_size is not None
        self.sensor_size = sensor_size or tuple(int(self[0][k].max()) + 1 for k in "yx")


def _serve():
    """Answer requests from standard input until it ends."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # What a library prints is no answer.
    tables = pickle.loads(pickle.load(sys.stdin.buffer))

    def send(answer):
        pickle.dump(answer, out)
        out.flush()

    while True:
        try:
            work, addresses, argument = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        # One message for many short recordings: each costs the other process two of its threads.
        answers, error, size = [], None, 0
        try:
            for place, address in enumerate(addresses):
                if work == "measure":
                    answers.append((place, measure(address, tables, argument)))
                    continue
                for piece in convert(address, tables, frames.Plan(**argument)):
                    answers.append((place, piece))
                    size += sum(len(packed) for *_, packed in piece[0])
                    if size > _PIECE:
                        send((answers, False, None))
                        answers, size = [], 0
        except Exception as met:
            kinds = (OSError, ImportError, ValueError)
            error = next((k for k in kinds if isinstance(met, k)), RuntimeError), str(met)
        send((answers, True, error))


if __name__ == "__main__":
    _serve()
