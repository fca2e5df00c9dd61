"""Runs `worker` over many recordings, in this process or in several.

The processes are started by hand and not by `multiprocessing`: they neither fork a process with a
backend's threads in it nor import the caller's program again, which would then need the guard
`if __name__ == "__main__"`, and they do not import Keras, which takes seconds.
"""

import contextlib
import dataclasses
import os
import pathlib
import pickle
import queue
import subprocess
import sys
import threading

from keras_staa.data.cache import worker
from keras_staa.data.event.layouts import Parts

_PROGRAM = pathlib.Path(worker.__file__)
# Recordings of one request: the answers are many, the waits for the next request few.
_BATCH = 32


def measure_all(addresses, tables, sensor_size, processes):
    """Yield (index, (sensor size, stated)) of each recording, in any order."""
    if _alone(addresses, tables, processes):
        for index, address in enumerate(addresses):
            yield index, worker.measure(address, tables, sensor_size)
        return
    yield from _parallel("measure", addresses, tables, sensor_size, processes)


def convert_all(addresses, tables, plan, processes):
    """Yield (index, piece), see `worker.convert`; the pieces of a recording in order."""
    if _alone(addresses, tables, processes):
        for index, address in enumerate(addresses):
            for piece in worker.convert(address, tables, plan):
                yield index, piece
        return
    yield from _parallel("convert", addresses, tables, dataclasses.asdict(plan), processes)


def find_sensor(source, recordings, processes):
    """Return the (height, width) that recordings have in common.

    Args:
        source: a `keras_staa.data.listing.Source`.
        recordings: list of its `Entry`s.
        processes: positive integer.

    Raises:
        ValueError: if files state different sensors.
    """
    sizes = _sizes(source, recordings, processes)
    if not all(stated for _, stated in sizes):
        # So that all splits have frames of one size.
        chosen = {r.name for r in recordings}
        others = [r for r in source.all() if r.name not in chosen]
        recordings, sizes = recordings + others, sizes + _sizes(source, others, processes)
    stated = {}
    for recording, (size, is_stated) in zip(recordings, sizes, strict=True):
        if is_stated:
            stated.setdefault(size, recording.name)
    if len(stated) > 1:
        found = ", ".join(f"{name} with {size}" for size, name in stated.items())
        raise ValueError(
            f"`source` must hold recordings of one sensor size. Received: {source.name} has {found}"
        )
    return next(iter(stated), None) or tuple(
        max(size[axis] for size, _ in sizes) for axis in range(2)
    )


def _sizes(source, recordings, processes):
    addresses = [r.address for r in recordings]
    found = dict(measure_all(addresses, source.tables, None, processes))
    return [found[index] for index in range(len(addresses))]


def _alone(addresses, tables, processes):
    return min(processes, len(addresses)) <= 1 or not _portable(tables)


def _portable(tables):
    """Whether another process can have the data sets: not those of the caller's own program."""
    try:
        return b"__main__" not in pickle.dumps(tables)
    except (pickle.PicklingError, AttributeError, TypeError):
        return False


def _parallel(work, addresses, tables, argument, processes):
    pickled, answers = pickle.dumps(tables), queue.Queue(2 * processes)
    step = max(1, min(_BATCH, len(addresses) // (4 * processes)))
    batches = iter(
        [range(i, min(i + step, len(addresses))) for i in range(0, len(addresses), step)]
    )
    lock, stop = threading.Lock(), threading.Event()

    def put(answer):
        while not stop.is_set():
            with contextlib.suppress(queue.Full):
                return answers.put(answer, timeout=0.1)

    def feed(worker):
        try:
            worker.send(pickled)
            while True:
                with lock:
                    batch = next(batches, None)
                if batch is None or stop.is_set():
                    break
                worker.send((work, [addresses[i] for i in batch], argument))
                end = False
                while not end:
                    found, end, error = worker.receive([addresses[i] for i in batch])
                    put([(batch[place], answer) for place, answer in found])
                    if error:
                        raise error[0](error[1])
        except Exception as error:
            put(error)
        put(None)

    running = min(processes, len(addresses))
    with contextlib.ExitStack() as stack:
        for _ in range(running):
            # Another object's module may import any part of this package.
            alone = all(isinstance(table, Parts) for table in tables)
            worker = stack.enter_context(_Worker(alone))
            threading.Thread(target=feed, args=(worker,), daemon=True).start()
        stack.callback(stop.set)
        while running:
            answer = answers.get()
            if isinstance(answer, Exception):
                raise answer
            running -= answer is None
            yield from answer or ()


class _Worker:
    def __init__(self, alone):
        self._mode = "alone" if alone else "whole"

    def __enter__(self):
        search = os.pathsep.join(os.path.abspath(place) for place in sys.path if place)
        one = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            # -P: the modules of this folder are not to hide installed ones of their name.
            [sys.executable, "-P", _PROGRAM, self._mode],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **one, "PYTHONPATH": search},
        )
        return self

    def __exit__(self, *error):
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                pipe.close()

    def send(self, request):
        with contextlib.suppress(BrokenPipeError):  # It is dead, which the answer will tell.
            pickle.dump(request, self._process.stdin)
            self._process.stdin.flush()

    def receive(self, addresses):
        try:
            return pickle.load(self._process.stdout)
        except (EOFError, pickle.UnpicklingError):
            raise RuntimeError(
                f"The process that read {addresses[0]} to {addresses[-1]} ended with "
                f"exit code {self._process.wait()}. It may have run out of memory; fewer "
                "`processes` need less."
            ) from None
