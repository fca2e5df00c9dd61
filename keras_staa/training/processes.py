"""Several processes that train one network, on one machine or on several."""

import atexit
import datetime
import hashlib
import os
import signal
import socket
import subprocess
import threading
import time
import typing

import keras

from keras_staa import checks

# After this many seconds without a sign of life JAX takes a process for dead.
HEARTBEAT = 30
# The others wait this long at the end, while the first measures and writes the network.
SHUTDOWN = 3600
# Set in the environment of the processes that `launch` starts.
_LAUNCHED = "KERAS_STAA_LAUNCHED"


class Group(typing.NamedTuple):
    """The processes of a training, and which of them this one is.

    Attributes:
        index: integer in [0, count).
        count: positive integer.
    """

    index: int = 0
    count: int = 1


# A training in one process.
ALONE = Group()


def connect(coordinator, count, index):
    """Connect this process with the others of a training. All of them must call it.

    JAX connects by `jax.distributed`, PyTorch by `torch.distributed` with NCCL on GPUs and gloo on
    CPUs. TensorFlow trains in one process.

    Args:
        coordinator: string, `"host:port"` of the process 0, as the others reach it.
        count: positive integer, the number of processes.
        index: integer, which of them this one is.

    Returns:
        A `Group`.

    Raises:
        ValueError: if an argument is not allowed, or on TensorFlow.
    """
    checks.positive_int("processes", count)
    if not 0 <= checks.non_negative_int("process", index) < count:
        raise ValueError(f"`process` must be in [0, {count}). Received: process={index}")
    if not isinstance(coordinator, str) or not coordinator.rpartition(":")[2].isdigit():
        raise ValueError(
            f"`coordinator` must be 'host:port'. Received: coordinator={coordinator!r}"
        )
    engines = {"jax": _jax, "torch": _torch, "tensorflow": _tensorflow}
    engines[keras.backend.backend()](coordinator, count, index)
    return Group(index, count)


def _jax(coordinator, count, index):
    import jax

    jax.distributed.initialize(
        coordinator,
        count,
        index,
        heartbeat_timeout_seconds=HEARTBEAT,
        shutdown_timeout_seconds=SHUTDOWN,
    )


def _torch(coordinator, count, index):
    import torch

    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(index % torch.cuda.device_count())
    torch.distributed.init_process_group(
        "nccl" if cuda else "gloo",
        f"tcp://{coordinator}",
        datetime.timedelta(seconds=SHUTDOWN),
        count,
        index,
    )
    atexit.register(_end_torch)


def _end_torch():
    """Without it, threads of gloo sometimes abort a process that has done its work (SIGABRT)."""
    import torch

    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _tensorflow(coordinator, count, index):
    raise ValueError(
        "`processes` must be 1 on TensorFlow, whose processes Keras does not train with. Received: "
        f"processes={count}. The backends JAX and PyTorch train with several."
    )


def average_gradients(optimizer, group):
    """Let an optimizer take the mean of the gradients of all processes.

    On JAX the program of a step has this mean in it already.
    """
    if group.count == 1 or keras.backend.backend() != "torch":
        return optimizer
    import torch

    apply = optimizer.apply

    def averaged(grads, trainable_variables=None):
        for gradient in grads:
            torch.distributed.all_reduce(gradient)
            gradient /= group.count
        return apply(grads, trainable_variables)

    optimizer.apply = averaged
    return optimizer


def check_equal(model, group):
    """Raise a `RuntimeError` if the trained weights differ between the processes.

    On JAX all processes run one program with one set of weights.
    """
    if group.count == 1 or keras.backend.backend() != "torch":
        return
    import torch

    digest = hashlib.sha256()
    for variable in model.trainable_variables:
        digest.update(keras.ops.convert_to_numpy(variable).tobytes())
    found = [None] * group.count
    torch.distributed.all_gather_object(found, digest.hexdigest())
    if len(set(found)) > 1:
        raise RuntimeError(f"The weights differ between the processes: sha256 {found}")


def launch(command, count):
    """Start the processes of a training on this machine, and wait for them.

    If one ends with an error, the others are stopped.

    Args:
        command: list of strings, to which `--coordinator`, `--processes` and `--process` are added.
        count: positive integer, the number of processes.

    Returns:
        None, or a string that says which process failed and how.
    """
    checks.positive_int("processes", count)
    address = free_address()
    started, environment = [], {**os.environ, _LAUNCHED: "1"}
    try:
        for index in range(count):
            words = ["--coordinator", address, "--processes", str(count), "--process", str(index)]
            # The pipe ends when this process does, and `end_with_launcher` waits for that.
            started.append(
                subprocess.Popen([*command, *words], stdin=subprocess.PIPE, env=environment)
            )
        while True:
            states = [process.poll() for process in started]
            if failed := [i for i, state in enumerate(states) if state]:
                return f"Process {failed[0]} of {count} {_ending(states[failed[0]])}"
            if all(state == 0 for state in states):
                return None
            time.sleep(0.2)
    finally:
        for process in started:
            if process.poll() is None:
                process.kill()
            process.wait()


def free_address():
    """Return `"host:port"` of this machine with a port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


def end_with_launcher():
    """Let a process that `launch` started end when its launcher is killed."""
    if os.environ.get(_LAUNCHED) != "1":
        return

    def wait():
        os.read(0, 1)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _ending(status):
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"ended with exit status {status}"
