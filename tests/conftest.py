"""What holds for all tests."""

import atexit
import collections
import os
import shutil
import tempfile

import pytest

if os.environ.get("KERAS_BACKEND") == "jax" and "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    # Equal programs are compiled once by all processes of a run. Set before JAX is imported.
    COMPILED = tempfile.mkdtemp(prefix="keras-staa-compiled-")
    atexit.register(shutil.rmtree, COMPILED, ignore_errors=True)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = COMPILED
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"

import keras

# Of the three backends the one that starts fastest. It runs every case of every test; the others,
# which compile each network for seconds, run in a quick run a part of the cases of each test, and
# none of a test that is marked as heavy.
ONCE = "torch"
PARTS = {"tensorflow": (6, 0), "jax": (6, 1)}
# The networks that take longest to compile, which the others stand for in a quick run.
LARGE = "STAAResNet"


def pytest_collection_modifyitems(config, items):
    backend = keras.backend.backend()
    if backend == ONCE:
        return
    # Tests that no backend has a part in run on one of them.
    skip = pytest.mark.skip(reason=f"uses no backend: runs with {ONCE}")
    for item in items:
        if item.get_closest_marker("once"):
            item.add_marker(skip)
    if config.getoption("markexpr") == "not slow":
        kept = part_of_cases(items, *PARTS[backend])
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept


def part_of_cases(items, size, first):
    """One in `size` of the cases of each test, one at least, spread over what they vary."""
    cases = collections.defaultdict(list)
    for item in items:
        if not item.get_closest_marker("slow") and not item.get_closest_marker("heavy"):
            cases[item.nodeid.split("[")[0]].append(item)
    kept = set()
    for found in cases.values():
        found = [item for item in found if LARGE not in item.nodeid] or found
        count = -(-len(found) // size)
        kept.update(found[(first + i * len(found) // count) % len(found)] for i in range(count))
    return [item for item in items if item in kept]
