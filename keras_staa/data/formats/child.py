"""The program of the process that parses files; see `process`."""

import contextlib
import importlib
import json
import os
import pathlib
import sys
import types

import numpy as np

if __name__ == "__main__":
    # The package itself would import Keras and its backend.
    package = pathlib.Path(__file__).parents[2]
    for name, folder in (("keras_staa", package), ("keras_staa.data", package / "data")):
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__path__ = [str(folder)]

from keras_staa.data.formats import contract as shared  # noqa: E402


def _serve(memory, cpu_seconds):
    """Answer requests from standard input, each with a head, blocks of events, and an end."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # What a library prints is no answer.

    def send(answer, columns=()):
        data = json.dumps(answer).encode()
        out.write(len(data).to_bytes(4, "little") + data)
        for column in columns:
            out.write(column.tobytes())
        out.flush()

    opened = None
    for line in sys.stdin.buffer:
        request = json.loads(line)
        reading, name = request.pop("read", False), request["file"]["name"]
        try:
            _limit(memory, cpu_seconds)
            if opened is None or opened[0] != request:
                opened = request, _parse(request)
            source = opened[1]
            if not reading:
                size = source.sensor_size
                size = size and list(size)
                send({"size": size, "fixed": source.fixed, "bits": source.bits})
                continue
            opened = None  # Its blocks come only once.
            for block in source.blocks:
                arrays = [np.ascontiguousarray(column) for column in block]
                # Else what the arrays hold is no plain numbers.
                if any(array.dtype.kind not in "biuf" or array.ndim != 1 for array in arrays):
                    found = [f"{array.dtype} {array.shape}" for array in arrays]
                    shared.reject(name, "have rows of numbers as x, y, t and p", found)
                send({"columns": [(array.dtype.str, array.nbytes) for array in arrays]}, arrays)
                _limit(memory, cpu_seconds)
            send({})
        except BaseException as error:  # A panic of Rust is no Exception.
            send({"error": _message(name, error), "missing": type(error) is ImportError})


def _parse(request):
    module = importlib.import_module(f"keras_staa.data.formats.{request['module']}")
    return module.parse(**request["file"])


def _message(name, error):
    if isinstance(error, (shared.Rejected, ImportError)):
        return str(error)
    return f"{name} must be a whole file of its format. Received: {type(error).__name__}: {error}"


def _limit(memory, cpu_seconds):
    """Allow this process that much more time from now, and that much memory at all."""
    try:
        import resource
    except ImportError:  # Windows, where only the parent's clock stops it.
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime) + 1 + cpu_seconds
    for kind, most in ((resource.RLIMIT_CPU, seconds), (resource.RLIMIT_AS, memory)):
        _, hard = resource.getrlimit(kind)
        # A lower limit set from outside stays; some systems refuse to set one.
        if hard == resource.RLIM_INFINITY or hard > most:
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(kind, (most, hard))


if __name__ == "__main__":
    _serve(*map(int, sys.argv[1:]))
