"""Several processes train what one trains; a killed one ends the others; runs resume."""

import contextlib
import csv
import hashlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import time

import keras
import numpy as np
import pytest

from keras_staa.training import devices, processes
from tests.real import ROOT
from tests.training.support import pictures, recipe_of

BACKEND = keras.backend.backend()
several = pytest.mark.skipif(BACKEND == "tensorflow", reason="TensorFlow trains in one process.")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "KERAS_BACKEND": BACKEND}


def command(recipe, out, *more):
    words = [sys.executable, "-m", "keras_staa", "train", recipe, "--out", out, *more]
    return [str(word) for word in words]


def losses(out):
    with open(out / "history.csv") as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


@several
@pytest.mark.slow
def test_two_processes_train_what_one_trains(tmp_path):
    recipe = recipe_of(pictures(tmp_path / "colors"))
    found = []
    for count in (1, 2):
        out = tmp_path / str(count)
        # On PyTorch, each device has its own process.
        kind = "--devices" if BACKEND == "torch" else "--processes"
        more = (kind, count, "--set", "data.augment=[]")
        done = subprocess.run(
            command(recipe, out, *more),
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            timeout=500,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        assert json.loads((out / "result.json").read_text())["epochs"] == 2
        found.append(losses(out))
    # On PyTorch, batch normalization and the loss shown are those of the first process's part.
    tolerance = 1e-3 if BACKEND == "jax" else 0.3
    np.testing.assert_allclose(found[1], found[0], rtol=tolerance)


PROGRAM = """
    import sys
    import keras, numpy as np
    from keras_staa.training import connect
    from keras_staa.training.processes import average_gradients, check_equal
    group = connect(sys.argv[2], 2, int(sys.argv[3]))
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(1)])
    model.compile(average_gradients(keras.optimizers.SGD(0.1, momentum=0.9), group), "mse")
    x = np.random.default_rng(0).random((8, 3), "float32")
    part = x[4 * group.index : 4 * group.index + 4]
    for _ in range(3):
        model.train_on_batch(part, part[:, :1] ** 2)
    check_equal(model, group)
    np.savez(sys.argv[1] + sys.argv[3], *model.get_weights())
    model.layers[0].bias.assign_add(np.full(4, group.index, "float32"))
    try:
        check_equal(model, group)
    except RuntimeError as error:
        print(error)
"""


@pytest.mark.slow
@pytest.mark.skipif(BACKEND != "torch", reason="On JAX there is one program for all.")
def test_the_mean_of_two_gradients_is_that_of_the_whole_batch(tmp_path):
    program = textwrap.dedent(PROGRAM)
    words = [sys.executable, "-c", program, str(tmp_path / "w"), processes.free_address()]
    started = [
        subprocess.Popen([*words, str(i)], env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
        for i in range(2)
    ]
    for process in started:
        said, _ = process.communicate(timeout=300)
        assert process.returncode == 0 and "The weights differ between the processes" in said
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse")
    x = np.random.default_rng(0).random((8, 3), "float32")
    for _ in range(3):
        model.train_on_batch(x, x[:, :1] ** 2)
    for index in range(2):
        with np.load(tmp_path / f"w{index}.npz") as file:
            for name, expected in zip(file.files, model.get_weights(), strict=True):
                np.testing.assert_allclose(file[name], expected, rtol=1e-5, atol=1e-7)


@pytest.mark.skipif(BACKEND != "torch", reason="JAX ends its own connection.")
def test_a_process_ends_its_connection():
    """Or threads of gloo may abort it when all is done."""
    program = """
        import atexit, sys
        import torch
        atexit.register(lambda: print(torch.distributed.is_initialized()))
        from keras_staa.training import connect
        connect(sys.argv[1], 1, 0)
        print(torch.distributed.is_initialized())
    """
    words = [sys.executable, "-c", textwrap.dedent(program), processes.free_address()]
    done = subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and done.stdout.split() == ["True", "False"], done.stderr


def children(pid):
    """Return the processes that a process has started, of those that are there."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # The name of the program, which may hold anything, stands in parentheses.
            if int(path.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(path.parent.name))
    return sorted(found)


@several
@pytest.mark.slow
def test_a_killed_process_ends_the_others_and_the_run_resumes(tmp_path):
    recipe = recipe_of(pictures(tmp_path / "colors"))
    out, more = tmp_path / "run", ("--processes", 2, "--set", "training.epochs=6")
    process = subprocess.Popen(
        command(recipe, out, *more), env=ENVIRONMENT, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 300
    while not list(out.glob("checkpoints/epoch-1*.h5")) and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.05)
    workers = children(process.pid)
    assert len(workers) == 2
    os.kill(workers[1], signal.SIGKILL)
    start = time.monotonic()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1 and time.monotonic() - start < 60
    assert "Process 1 of 2 was killed by SIGKILL. The others were stopped." in said
    assert not any(os.path.exists(f"/proc/{pid}") for pid in workers)
    assert not (out / "result.json").exists()
    whole = tmp_path / "whole"
    for folder in (out, whole):
        subprocess.run(command(recipe, folder, *more), env=ENVIRONMENT, check=True, timeout=300)
    sums = [
        hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (out, whole)
        for path in path.glob("compact_*/model.weights.h5")
    ]
    assert len(sums) == 2 and sums[0] == sums[1]


@pytest.mark.once
@pytest.mark.slow
@pytest.mark.skipif(not os.path.isdir("/proc"), reason="It looks for processes there.")
def test_the_processes_end_with_the_one_that_started_them(tmp_path):
    program = """
        import pathlib, sys, time
        from keras_staa.training import processes
        if "--process" in sys.argv:
            processes.end_with_launcher()
            pathlib.Path(sys.argv[1] + sys.argv[-1]).touch()
            time.sleep(100)
        else:
            processes.launch([sys.executable, *sys.orig_argv[1:3], sys.argv[1]], 2)
    """
    words = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path / "started")]
    process = subprocess.Popen(words, env=ENVIRONMENT)
    deadline = time.monotonic() + 120
    while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    workers = children(process.pid)
    assert len(workers) == 2
    process.kill()
    process.wait()
    deadline = time.monotonic() + 20
    while any(os.path.exists(f"/proc/{pid}") for pid in workers):
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("localhost:1", 0, 0), "`processes` must be a positive integer"),
        (("localhost:1", 2, 2), r"`process` must be in \[0, 2\). Received: process=2"),
        (("localhost", 2, 0), "`coordinator` must be 'host:port'. Received: coordinator='localh"),
        ((None, 2, 0), "`coordinator` must be 'host:port'. Received: coordinator=None"),
    ],
)
def test_arguments_outside_their_ranges(arguments, message):
    with pytest.raises(ValueError, match=message):
        processes.connect(*arguments)


def test_pytorch_has_a_process_for_each_device(monkeypatch):
    of = devices.of_devices
    assert of(None, 3) == (None, 3)
    if BACKEND != "torch":
        assert of(2, None) == (2, None) and of(2, 3) == (2, 3)
        return
    import torch

    assert of(1, None) == (None, None) and of(2, None) == of(2, 2) == (None, 2)
    with pytest.raises(ValueError, match="must be equal on PyTorch.*devices=2, processes=3"):
        of(2, 3)
    with pytest.raises(ValueError, match="`devices` must be a positive integer"):
        of(0, None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert of(2, None) == (None, 2)
    with pytest.raises(ValueError, match="`devices` must be at most 2.*devices=3"):
        of(3, None)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="The others train in several.")
def test_tensorflow_trains_in_one_process():
    with pytest.raises(ValueError, match="`processes` must be 1 on TensorFlow.*processes=2"):
        processes.connect("localhost:1", 2, 0)


def test_the_processes_end_together(tmp_path):
    program = "import sys, time; time.sleep(0 if sys.argv[-1] == '1' else 60); sys.exit(3)"
    start = time.monotonic()
    fault = processes.launch([sys.executable, "-c", program], 2)
    assert fault == "Process 1 of 2 ended with exit status 3" and time.monotonic() - start < 30
    assert processes.launch([sys.executable, "-c", "pass"], 2) is None
