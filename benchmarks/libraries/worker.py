"""A process that holds the libraries of one backend and runs what it is asked for."""

import contextlib
import multiprocessing
import os
import time
import traceback

BACKENDS = ("torch", "jax", "tensorflow")


class Worker:
    """The near end: one process that lives as long as the object is entered."""

    def __init__(self, backend):
        context = multiprocessing.get_context("spawn")
        self.pipe, far = context.Pipe()
        self.process = context.Process(target=serve, args=(far, backend), daemon=True)
        self.process.start()

    def ask(self, what, *arguments, **options):
        """Call a function of the other end."""
        self.pipe.send((what, arguments, options))
        failure, result = self.pipe.recv()
        if failure:
            raise SystemExit(failure)
        return result

    def close(self):
        self.pipe.close()
        self.process.join(10)


@contextlib.contextmanager
def workers(backends=BACKENDS):
    """Workers by backend."""
    with contextlib.ExitStack() as stack:
        yield {b: stack.enter_context(contextlib.closing(Worker(b))) for b in backends}


def serve(pipe, backend):
    """Return the far end: answers until the pipe closes."""
    os.environ["KERAS_BACKEND"] = backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    runs = {}

    def network(*arguments, **options):
        from libraries import networks

        runs.clear()
        found, checks, weights = networks.prepare(*arguments, **options)
        runs.update(found)
        return list(runs), checks, weights

    def layer(x, kernel):
        from libraries import layer

        runs.clear()
        runs.update(layer.prepare(x, kernel))
        return {name: layer.check(name, run) for name, run in runs.items()}

    def seconds(key):
        start = time.perf_counter()
        runs[key]()
        return time.perf_counter() - start

    def memory(*arguments):
        from libraries import networks

        return networks.resident(*arguments)

    known = {"network": network, "layer": layer, "memory": memory, "seconds": seconds}
    with contextlib.suppress(EOFError):
        while True:
            what, arguments, options = pipe.recv()
            try:
                pipe.send((None, known[what](*arguments, **options)))
            except Exception:
                pipe.send((f"{backend}: {traceback.format_exc()}", None))
