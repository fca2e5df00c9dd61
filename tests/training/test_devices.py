"""Several devices: they train the network that one device trains, on JAX and on TensorFlow."""

import csv
import json
import os
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
    devices, model_devices, recipe, out = sys.argv[1:5]
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
        model_devices=int(model_devices) or None,
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


def history(recipe, out, devices, *changes, model_devices=0):
    program(PROGRAM, devices, model_devices, recipe, out, *changes)
    with open(out / "history.csv") as file:
        rows = list(csv.DictReader(file))
    return np.array([[float(row[name]) for name in ("loss", "accuracy")] for row in rows])


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
    np.testing.assert_allclose(four[:, 0], one[:, 0], rtol=1e-3)


@pytest.mark.slow
@jax_alone
def test_devices_that_share_the_read_out_train_what_one_trains(tmp_path):
    recipe = recipe_of(pictures(tmp_path / "colors"))
    for number in (0, 1):
        # Four classes: three do not divide.
        for split in ("train", "test"):
            place = tmp_path / "colors" / split / "white"
            place.mkdir(exist_ok=True)
            source = tmp_path / "colors" / split / "red" / f"{number}.png"
            (place / source.name).write_bytes(source.read_bytes())
    changes = ["training.batch_size=8", "data.augment=crop"]
    one = history(recipe, tmp_path / "one", 1, *changes)
    four = history(recipe, tmp_path / "four", 4, *changes, model_devices=2)
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
    with devices.use_devices(4, 8, model_devices=2):
        network = keras_staa.STAACompact(classes=6, width=4, steps=2)
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
    assert kernel[1] == [kernel[0][0], 3] and bias == [[6], [3]]
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


SHARED_ERRORS = {
    (4, 3): "`model_devices` must divide `devices`. Received: model_devices=3, devices=4",
    (None, 2): "`model_devices` must divide `devices`. Received: model_devices=2, devices=None",
    (4, 0): "`model_devices` must be a positive integer",
    (64, 2): "`batch_size` must be divided by .* batch_size=8, devices=64, model_devices=2",
}


@pytest.mark.parametrize("count, model_devices", SHARED_ERRORS)
def test_devices_that_cannot_share_the_read_out(count, model_devices):
    message = SHARED_ERRORS[count, model_devices]
    if BACKEND != "jax" and model_devices:
        message = "`model_devices` needs the backend JAX in one process. Received: model_devices="
    with pytest.raises(ValueError, match=message):  # noqa: SIM117
        with use_devices(count, 8, model_devices=model_devices):
            pass
    with pytest.raises(ValueError, match="`model_devices` needs .* processes=2"):  # noqa: SIM117
        with use_devices(4, 8, Group(0, 2), model_devices=2):
            pass


def test_classes_that_devices_cannot_share():
    check_classes(6, 2)
    check_classes(7, None)
    with pytest.raises(ValueError, match="number of classes, 7. Received: model_devices=2"):
        check_classes(7, 2)
    with pytest.raises(ValueError, match="`model_devices` must be a positive integer"):
        check_classes(6, 0)


COMPILED = """
    import json
    from keras_staa import training
    # With a teacher, which is not there.
    recipe = training.load_recipe("compact_cifar10", ["network.width=4", "network.steps=2"])
    found = {}
    for model_devices in (1, 4):
        found[model_devices] = training.topology.describe_recipe(
            recipe, "here", (9, 9, 3), 100_000, batch=8, model_devices=model_devices
        )
    print(json.dumps(found))
"""


@pytest.mark.slow
@jax_alone
def test_the_compiled_step_holds_a_part_of_the_read_out():
    found = json.loads(program(COMPILED).splitlines()[-1])
    whole, part = found["1"], found["4"]
    assert (whole["batch"], part["batch"]) == (2, 8)
    # Features are 16: the weights, their momenta and gradients are 3 x 4 x 17 bytes a class.
    assert whole["memory"] - part["memory"] > 100_000 * 3 / 4 * 4 * 17 * 2
    # The gradient of the read-out stays where it is.
    assert set(part["collectives"]) <= {"all-reduce", "all-gather"}


@jax_alone
def test_a_mesh_without_an_axis_for_the_read_out():
    mesh = keras.distribution.DeviceMesh((1,), ("batch",), keras.distribution.list_devices()[:1])
    with pytest.raises(ValueError, match="must have an axis 'model'. Received: axes"):
        layout_map(mesh)
