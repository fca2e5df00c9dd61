"""Reads files in a process of its own, with limits on memory and time.

A damaged file can make the libraries for HDF5 and AEDAT 4 die, ask for all memory, or never come
back. Then only that process ends, and this one says which file it was.
"""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import threading
import weakref

import numpy as np

from keras_staa.data.formats import contract as shared

_PROGRAM = pathlib.Path(__file__).with_name("child.py")
MEMORY = 2 * 2**30
# For a block of events, of computing and of waiting.
CPU_SECONDS, SECONDS = 30, 120

# Starting a process takes longer than reading a short file: one waits for the next file.
_idle = []


def open_recording(module, path, events, **options):
    """Open a recording in another process.

    Args:
        module: name of the module in this package whose function `parse` reads the file.
        path: path of the file.
        events: how many events a block may have.
        options: further arguments of `parse`, of the kinds that JSON has.

    Returns:
        A `Source`.

    Raises:
        ValueError: if the file cannot be read, within the limits.
        ImportError: if the module needs a library that is not installed.
    """
    status = os.stat(path)
    request = {
        "file": {"path": os.path.abspath(path), "name": path, "events": events, **options},
        "module": module,
        "version": [status.st_mtime_ns, status.st_size],
    }
    worker = _take()
    worker.ask(request)
    head = worker.answer(path)
    _keep(worker)
    return shared.Opened(
        head["size"] and tuple(head["size"]), _blocks(path, request), head["fixed"], head["bits"]
    )


def _blocks(path, request):
    worker = _take()
    # If it is the process that opened the file, it need not open it again.
    worker.ask({**request, "read": True})
    while columns := worker.answer(path).get("columns"):
        yield [np.frombuffer(worker.take(path, size), dtype) for dtype, size in columns]
    _keep(worker)


def _keep(worker):
    if not _idle:
        _idle.append(worker)


def _take():
    while _idle:
        worker = _idle.pop()
        # Not that of the process this one was forked from.
        if worker.owner == os.getpid() and worker.process.poll() is None:
            return worker
    return _Worker()


class _Worker:
    def __init__(self):
        search = os.pathsep.join(os.path.abspath(place) for place in sys.path if place)
        one = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        self.owner = os.getpid()
        self.process = subprocess.Popen(
            # -P: the modules of this folder are not to hide installed ones of their name.
            [sys.executable, "-P", _PROGRAM, str(MEMORY), str(CPU_SECONDS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **one, "PYTHONPATH": search},
        )
        weakref.finalize(self, _end, self.process, self.owner)

    def ask(self, request):
        with contextlib.suppress(OSError):  # It is dead, which the answer will tell.
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()

    def answer(self, path):
        answer = json.loads(self.take(path, int.from_bytes(self.take(path, 4), "little")))
        if "error" in answer:
            # This process is not used again: a library that met damage may be damaged itself.
            raise (ImportError if answer["missing"] else ValueError)(answer["error"])
        return answer

    def take(self, path, size):
        watch = threading.Timer(SECONDS, self.process.kill)
        watch.daemon = True
        watch.start()
        data = self.process.stdout.read(size)
        watch.cancel()
        if len(data) < size:
            self.process.kill()
            limits = f"{MEMORY >> 20} MiB of memory and {CPU_SECONDS} s for each block of events"
            ended = f"a file at which the reading process ended with {self.process.wait()}"
            shared.reject(path, f"be a whole file that can be read within {limits}", ended)
        return data


def _end(process, owner):
    if owner == os.getpid():
        process.kill()
        process.stdin.close()
        process.stdout.close()
        process.wait()
