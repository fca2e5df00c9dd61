"""Several devices: they train the network that one device trains, on JAX and on TensorFlow."""

import csv
import os
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest

from keras_staa.training.devices import use_devices
from tests.real import ROOT
from tests.training.support import pictures, recipe_of

BACKEND = keras.backend.backend()
PROGRAM = """
    import os, sys
    devices, recipe, out = sys.argv[1:4]
    if os.environ["KERAS_BACKEND"] == "tensorflow":
        import tensorflow as tf
        part = tf.config.LogicalDeviceConfiguration()
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [part] * 4)
    from keras_staa import training
    training.train(
        training.load_recipe(recipe, sys.argv[4:]), out, devices=int(devices), verbose=0
    )
"""


def history(recipe, out, devices, *changes):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "KERAS_BACKEND": BACKEND}
    if BACKEND == "jax":
        environment["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"
    command = [sys.executable, "-c", textwrap.dedent(PROGRAM), devices, recipe, out]
    words = [str(word) for word in [*command, *changes]]
    subprocess.run(words, env=environment, check=True, capture_output=True)
    with open(out / "history.csv") as file:
        rows = list(csv.DictReader(file))
    return np.array([[float(row[name]) for name in ("loss", "accuracy")] for row in rows])


@pytest.mark.slow
@pytest.mark.skipif(BACKEND == "torch", reason="Keras has no engine for it.")
def test_four_devices_train_what_one_trains(tmp_path):
    recipe = recipe_of(pictures(tmp_path / "colors"))
    changes = ["training.batch_size=8", "data.augment=crop"]
    if BACKEND == "tensorflow":
        # Its batch normalization sees the part of each device: a first step is all that is alike.
        changes += ["training.batch_size=24", "schedule.warmup_epochs=0", "training.epochs=1"]
    one = history(recipe, tmp_path / "one", 1, *changes)
    four = history(recipe, tmp_path / "four", 4, *changes)
    assert one.shape == four.shape
    tolerance = 1e-3 if BACKEND == "jax" else 0.2
    np.testing.assert_allclose(four[:, 0], one[:, 0], rtol=tolerance)


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
