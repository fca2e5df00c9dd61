"""The kernels for PyTorch, compiled for a GPU without one."""

import importlib.util
import os
import subprocess
import sys

import keras
import pytest

# How often a kernel reads and writes as much as the current is.
PASSES = {
    "LIF": (1, 1),
    "LIF, gradient": (2, 1),
    "LIF, M and N learned": (1, 1),
    "LIF, M and N learned, gradient": (2, 1),
    "LIF behind an aggregator": (1, 1),
    "LIF behind an aggregator, gradient": (2, 1),
    "means of an aggregator": (1, 0),
    "means of an aggregator, gradient": (2, 1),
}

CASES = [("h100", 4), ("h100", 16), ("a100", 1)]


@pytest.mark.skipif(
    keras.backend.backend() != "torch" or importlib.util.find_spec("triton") is None,
    reason="The kernels are written for PyTorch with Triton.",
)
@pytest.mark.slow
@pytest.mark.parametrize("gpu, steps", CASES)
def test_few_passes_and_enough_registers(gpu, steps, tmp_path):
    environment = {**os.environ, "TRITON_CACHE_DIR": str(tmp_path)}
    environment.pop("TRITON_INTERPRET", None)
    command = [sys.executable, "benchmarks/triton_kernels.py", "--gpus", gpu, "--steps", str(steps)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith(f"| {gpu}")]
    rows = [[part.strip() for part in line.strip("|").split("|")] for line in lines]
    found = {name: (float(reads), float(writes)) for _, name, _, reads, writes, *_ in rows}
    assert found == PASSES
    assert {spilled for *_, spilled, _ in rows} == {"0"}
