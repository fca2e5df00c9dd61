"""What holds for all tests."""

import atexit
import collections
import os
import shutil
import tempfile
import zlib

import pytest

if os.environ.get("KERAS_BACKEND") == "jax" and "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    # Equal programs are compiled once by all processes of a run. Set before JAX is imported.
    COMPILED = tempfile.mkdtemp(prefix="keras-staa-compiled-")
    atexit.register(shutil.rmtree, COMPILED, ignore_errors=True)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = COMPILED
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"

if not os.path.exists("/dev/nvidia0"):
    # Where there is no GPU, JAX loads the compiler for GPUs, if it is installed, only if told so.
    os.environ.setdefault("JAX_PLATFORMS", "cpu")

# Triton, where it is, plays the GPU. It looks when it is imported.
os.environ.setdefault("TRITON_INTERPRET", "1")

import keras

# Of the three backends the one that starts fastest. It runs every case of every test. The others
# compile each network for seconds. In a quick run they run a tenth of the cases of each test, and
# none of a test that is marked as heavy. In a full run each of them runs a sixth of all cases, and
# all that some backend skips. With `--every-case` all run all.
ONCE = "torch"
QUICK, PART = 10, 6
FIRST = {"tensorflow": 0, "jax": 1}
# The networks that take longest to compile, which the others stand for in a quick run.
LARGE = "STAAResNet"


def pytest_addoption(parser):
    parser.addoption("--every-case", action="store_true", help="run all cases on this backend")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("every_case"):
        _leave_out(config, items, lambda item: item.get_closest_marker("release"))
    _choose(config, items)
    # The longest begin first, so that no process is left with them at the end.
    items.sort(key=lambda item: not item.get_closest_marker("slow"))


def _choose(config, items):
    backend = keras.backend.backend()
    if backend == ONCE:
        return
    # Tests that no backend has a part in run on one of them.
    skip = pytest.mark.skip(reason=f"uses no backend: runs with {ONCE}")
    for item in items:
        if item.get_closest_marker("once"):
            item.add_marker(skip)
    if config.getoption("every_case"):
        return
    if config.getoption("markexpr") == "not slow":
        light = [i for i in items if not any(map(i.get_closest_marker, ("slow", "heavy")))]
        kept = part_of_cases(light, QUICK, FIRST[backend], LARGE)
    else:
        kept = share_of_cases(items, PART, FIRST[backend])
    kept = set(kept)
    _leave_out(config, items, lambda item: item not in kept)


def _leave_out(config, items, is_left_out):
    left = [item for item in items if is_left_out(item)]
    config.hook.pytest_deselected(items=left)
    items[:] = [item for item in items if not is_left_out(item)]


def part_of_cases(items, size, first, without=None):
    """One in `size` of the cases of each test, one at least, spread over what they vary."""
    cases = collections.defaultdict(list)
    for item in items:
        cases[item.nodeid.split("[")[0]].append(item)
    kept = set()
    for found in cases.values():
        found = [item for item in found if not without or without not in item.nodeid] or found
        count = -(-len(found) // size)
        kept.update(found[(first + i * len(found) // count) % len(found)] for i in range(count))
    return [item for item in items if item in kept]


def share_of_cases(items, size, first):
    """One in `size` of all cases, others on each backend, and what only some backends run."""
    seen, kept = collections.Counter(), []
    for item in items:
        test = item.nodeid.split("[")[0]
        # The cases of a test take turns. Which backend begins differs between tests.
        turn = (zlib.crc32(test.encode()) + seen[test]) % size
        # One that is skipped on a backend may be for this one alone.
        if turn == first or item.get_closest_marker("skipif"):
            kept.append(item)
        seen[test] += 1
    return kept
