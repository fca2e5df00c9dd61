"""Data-parallel training on many devices exchanges sums, and never the batch."""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import keras
import pytest

from keras_staa import training
from keras_staa.training import gpus

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="The meshes of devices are JAX's."
)


def steps(kind, **variables):
    """What is said of two training steps, without `remat` and with it."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.parallel", kind],
        cwd=pathlib.Path(__file__).parents[1],
        env={**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", **variables},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()[-2:]]


def test_eight_devices_exchange_sums_alone():
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8"
    for step in steps("cpu", XLA_FLAGS=flags):
        assert set(step["collectives"]) == {"all-reduce"}
        assert step["callbacks"] == step["dynamic_shapes"] == 0
        # The policy is float32: two convolutions.
        assert step["float32_convolutions"] >= 2 and step["memory"] > 0 and step["flops"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("machine", ["triton", "mosaic"])
def test_kernels_on_eight_devices_exchange_sums_alone(machine):
    """And a step on eight devices is that on one."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8"
    for step in steps(machine, XLA_FLAGS=flags):
        assert set(step["collectives"]) == {"all-reduce"}
        assert step["difference"] < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("kind, compiler", [("tpu", "libtpu"), ("gpu", gpus.PLUGIN)])
def test_four_accelerators_exchange_sums_alone(kind, compiler):
    """Compiled by a process on a CPU for devices that are not there."""
    if importlib.util.find_spec(compiler) is None:
        pytest.skip(f"{compiler}, which compiles for them, is not installed.")
    for step in steps(kind):
        assert set(step["collectives"]) == {"all-reduce"}
        assert step["callbacks"] == step["dynamic_shapes"] == 0


@pytest.mark.slow
def test_a_recipe_with_a_teacher_that_is_not_there():
    recipe = training.load_recipe("compact_cifar10", ["network.width=4", "network.steps=2"])
    step = training.topology.describe_recipe(recipe, "here", (9, 9, 3), 10, batch=8)
    assert step["batch"] * step["chips"] == 8 and step["flops"] > 0


def test_the_platform_of_the_program_decides():
    """Sums lowered for a TPU by a process on a CPU are plain sums, for a CPU products."""
    import jax

    from keras_staa.ops.sums import batch_sum

    x = jax.ShapeDtypeStruct((8, 2, 4, 4, 8), "float32")
    w = jax.ShapeDtypeStruct((8, 2), "float32")
    for platform, product in (("cpu", True), ("tpu", False), ("cuda", False)):
        program = jax.jit(batch_sum).trace(x, w).lower(lowering_platforms=(platform,)).as_text()
        assert ("dot_general" in program) == product, platform
        assert ("stablehlo.reduce" in program) != product, platform
        assert "stablehlo.while" not in program


def test_the_platform_of_the_program_decides_on_kernels():
    import jax

    from keras_staa.layers import STAALIF
    from tests.layers.support import stateless

    layer = STAALIF(seed=0)
    layer.build((2, 4, 4, 4, 8))
    weights = [v.value for v in layer.trainable_variables]

    def step(x, *weights):
        output, pull = jax.vjp(stateless(layer), x, *weights)
        return pull(output)

    x = jax.ShapeDtypeStruct((2, 4, 4, 4, 8), "float32")
    marks = {"cpu": None, "tpu": "tpu_custom_call", "cuda": "triton"}
    for platform, mark in marks.items():
        traced = jax.jit(step).trace(x, *weights)
        program = traced.lower(lowering_platforms=(platform,)).as_text()
        found = {name for name in marks.values() if name and name in program}
        assert found == ({mark} if mark else set()), platform
