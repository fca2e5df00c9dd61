"""Several devices: they train the network that one device trains, on JAX and on TensorFlow."""

import csv
import json
import os
import shutil
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest

import keras_staa
from keras_staa.training import Group
from keras_staa.training.devices import check_classes, layout_map, use_devices
from tests.real import ROOT
from tests.training.support import pictures, recipe_of

BACKEND = keras.backend.backend()
jax_alone = pytest.mark.skipif(BACKEND != "jax", reason="ModelParallel of Keras is JAX's.")
PROGRAM = """
    import os, sys
    devices, split_read_out, recipe, out = sys.argv[1:5]
    if os.environ["KERAS_BACKEND"] == "tensorflow":
        import tensorflow as tf
        part = tf.config.LogicalDeviceConfiguration()
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [part] * 4)
    from keras_staa import training
    training.train(
        training.load_recipe(recipe, sys.argv[5:]),
        out,
        devices=int(devices),
        split_read_out=split_read_out == "True",
        verbose=0,
    )
"""


def program(text, *arguments):
    """Run a program in a process with four devices, and return what it printed."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "KERAS_BACKEND": BACKEND}
    if BACKEND == "jax":
        environment["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"
    words = [sys.executable, "-c", textwrap.dedent(text), *map(str, arguments)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def pictures_of_four_classes(folder):
    """Three do not divide."""
    pictures(folder)
    for split in ("train", "test"):
        shutil.copytree(folder / split / "red", folder / split / "white")
    return folder


def history(recipe, out, devices, *changes, split_read_out=False):
    program(PROGRAM, devices, split_read_out, recipe, out, *changes)
    with open(out / "history.csv") as file:
        rows = list(csv.DictReader(file))
    return np.array([float(row["loss"]) for row in rows])


@pytest.mark.slow
@pytest.mark.skipif(BACKEND == "torch", reason="Keras has no engine for it.")
def test_four_devices_train_what_one_trains(tmp_path):
    """Batch normalization is over the whole batch, or two images a device would tell."""
    recipe = recipe_of(pictures(tmp_path / "colors"))
    changes = ["training.batch_size=8", "data.augment=crop"]
    if BACKEND == "tensorflow":
        # Its devices draw by themselves what the aggregator drops.
        changes.append("network.attention=false")
    one = history(recipe, tmp_path / "one", 1, *changes)
    four = history(recipe, tmp_path / "four", 4, *changes)
    assert one.shape == four.shape
    np.testing.assert_allclose(four, one, rtol=1e-3)


@pytest.mark.slow
@jax_alone
def test_devices_that_share_the_read_out_train_what_one_trains(tmp_path):
    recipe = recipe_of(pictures_of_four_classes(tmp_path / "colors"))
    changes = ["training.batch_size=8", "data.augment=crop"]
    one = history(recipe, tmp_path / "one", 1, *changes)
    four = history(recipe, tmp_path / "four", 4, *changes, split_read_out=True)
    np.testing.assert_allclose(four, one, rtol=1e-3)
    weights = [
        keras_staa.zoo.load(tmp_path / name / "compact_w4_t2.colors").get_weights()
        for name in ("one", "four")
    ]
    for found, expected in zip(*reversed(weights), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-2, atol=1e-3)


SHARED = """
    import json
    import keras, keras_staa
    from keras_staa.training import devices
    with devices.use_devices(4, 8, split_read_out=True):
        network = keras_staa.STAACompact(classes=8, width=4, steps=2)
        optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
        optimizer.build(network.trainable_variables)
        devices.prepare(network)
        shapes = {
            f"{kind} {v.path}": [v.shape, v.value.addressable_shards[0].data.shape]
            for kind, variables in (("weight", network.variables), ("slot", optimizer.variables))
            for v in variables
        }
        try:
            devices.prepare(keras.Sequential([network.layers[1]]))
        except ValueError as error:
            fault = str(error)
    print(json.dumps([shapes, fault]))
"""


@pytest.mark.slow
@jax_alone
def test_devices_hold_their_classes_and_all_the_rest():
    shapes, fault = json.loads(program(SHARED).splitlines()[-1])
    split = {name: held for name, (whole, held) in shapes.items() if whole != held}
    kernel, bias = (shapes[f"weight predictions/{name}"] for name in ("kernel", "bias"))
    assert kernel[1] == [kernel[0][0], 2] and bias == [[8], [2]]
    # The weights and their momenta.
    assert sorted(split.values()) == sorted([kernel[1], bias[1]] * 2), split
    assert "needs a network with a layer 'predictions'" in fault


ERRORS = {
    (2, 9): "`batch_size` must be divided .* Received: batch_size=9, devices=2",
    (64, 64): "`devices` must be .*Received: devices=64",
    (0, 8): "`devices` must be .*Received: devices=0",
}


@pytest.mark.parametrize("count, batch_size", ERRORS)
def test_what_is_not_there_or_does_not_divide(count, batch_size):
    with pytest.raises(ValueError, match=ERRORS[count, batch_size]), use_devices(count, batch_size):
        pass


def test_one_device_or_those_of_the_backend():
    with use_devices(None, 9), use_devices(1, 9):
        assert not keras.distribution.distribution()


def test_where_the_read_out_cannot_be_split():
    for count, group in ((None, Group()), (4, Group(0, 2))):
        message = f"`split_read_out` needs the backend JAX .* processes={group.count}, devices="
        with pytest.raises(ValueError, match=message):  # noqa: SIM117
            with use_devices(count, 8, group, split_read_out=True):
                pass
    if BACKEND != "jax":
        with pytest.raises(ValueError, match=f"Received: backend='{BACKEND}'"):  # noqa: SIM117
            with use_devices(4, 8, split_read_out=True):
                pass
    with pytest.raises(ValueError, match="`split_read_out` must be"):  # noqa: SIM117
        with use_devices(4, 8, split_read_out=2):
            pass


def test_classes_that_devices_cannot_share():
    check_classes(6, 2)
    with pytest.raises(ValueError, match="divides the number of classes. .* devices=2, classes=7"):
        check_classes(7, 2)


TEACHER = """
    import sys
    import keras
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.GlobalAveragePooling2D()(inputs)
    keras.Model(inputs, keras.layers.Dense(4, name="predictions")(x)).save(sys.argv[1])
"""


@pytest.mark.slow
@jax_alone
def test_a_teacher_with_logits_of_another_shape(tmp_path):
    recipe = recipe_of(pictures_of_four_classes(tmp_path / "colors"))
    program(TEACHER, tmp_path / "teacher.keras")
    changes = ["training.batch_size=8", f"teacher.model={tmp_path / 'teacher.keras'}"]
    one = history(recipe, tmp_path / "one", 1, *changes)
    four = history(recipe, tmp_path / "four", 4, *changes, split_read_out=True)
    np.testing.assert_allclose(four, one, rtol=1e-3)


COMPILED = """
    import json
    import jax, keras
    from keras_staa import STAACompact, _keras
    from keras_staa.training import devices
    found = []
    for split in (False, True):
        with devices.use_devices(4, 64, split_read_out=split):
            network = STAACompact(input_shape=(9, 9, 3), classes=100_000, width=4, steps=2)
            network.compile(keras.optimizers.SGD(0.1, momentum=0.9), "categorical_crossentropy")
            network.optimizer.build(network.trainable_variables)
            engine = keras.distribution.distribution()
            batch = [
                jax.ShapeDtypeStruct(shape, "float32", sharding=jax.sharding.NamedSharding(
                    engine.device_mesh.backend_mesh, jax.sharding.PartitionSpec("batch")
                ))
                for shape in ((64, 9, 9, 3), (64, 100_000))
            ]
            state = _keras.jax_state(network)
            held = jax.tree.map(lambda value: value.sharding, state)
            step = jax.jit(
                network.train_step, donate_argnums=0, out_shardings=(None, (*held[:3], None))
            ).lower(state, batch).compile()
            memory = step.memory_analysis()
            found.append({
                "arguments": memory.argument_size_in_bytes,
                "temporary": memory.temp_size_in_bytes,
                "flops": step.cost_analysis()["flops"],
            })
    print(json.dumps(found))
"""


@pytest.mark.slow
@jax_alone
def test_the_compiled_step_holds_a_part_of_the_read_out():
    whole, part = json.loads(program(COMPILED).splitlines()[-1])
    # 16 features and a bias: three quarters of the weights and of their momenta.
    saved = 100_000 * 17 * 4 * 2 * 3 / 4
    assert abs(whole["arguments"] - part["arguments"] - saved) < 1000
    # And nothing else is held in their place, nor does a device repeat the work of another.
    assert part["temporary"] < whole["temporary"]
    assert part["flops"] < 1.05 * whole["flops"]


@jax_alone
def test_a_mesh_without_an_axis_for_the_read_out():
    mesh = keras.distribution.DeviceMesh((1,), ("batch",), keras.distribution.list_devices()[:1])
    with pytest.raises(ValueError, match="`axis` must be an axis .* Received: axis='model'"):
        layout_map(mesh, "model")
