"""The share of a training's time that goes by while it waits for batches."""

import time

import keras
import numpy as np
import pytest

from keras_staa.training.waiting import WaitingShare

STEPS = 6


class Slow(keras.utils.PyDataset):
    def __init__(self, seconds):
        super().__init__()
        self.seconds = seconds

    def __len__(self):
        return STEPS

    def __getitem__(self, index):
        time.sleep(self.seconds)
        return np.full((2, 3), index, "float32"), np.zeros((2, 1), "float32")


class SlowStep(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        self.model.seen = batch + 1


def trained(seconds, **more):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1), "mse", **more)
    rows = []
    row = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: rows.append(dict(logs)))
    model.fit(Slow(seconds), epochs=3, verbose=0, callbacks=[WaitingShare(), SlowStep(), row])
    return model, rows


@pytest.mark.heavy
def test_slow_data_are_waited_for():
    _, rows = trained(0.2)
    assert all(0 < row["waiting"] <= 1 for row in rows)
    # The first epoch has the compilation.
    assert max(row["waiting"] for row in rows[1:]) > 0.5


@pytest.mark.heavy
def test_fast_data_are_not():
    model, rows = trained(0.0)
    assert model.seen == STEPS and len(rows) == 3
    slow, slow_rows = trained(0.1)
    assert min(row["waiting"] for row in rows) < max(row["waiting"] for row in slow_rows)
    for one, other in zip(model.get_weights(), slow.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.heavy
def test_nothing_is_learned_otherwise():
    measured, _ = trained(0.0)
    keras.utils.set_random_seed(0)
    plain = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    plain.compile(keras.optimizers.SGD(0.1), "mse")
    plain.fit(Slow(0.0), epochs=3, verbose=0)
    for one, other in zip(measured.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.heavy
@pytest.mark.skipif(keras.backend.backend() == "torch", reason="PyTorch has one step in each.")
def test_several_steps_in_one_execution():
    model, rows = trained(0.05, steps_per_execution=4)
    # Keras counts the steps that an execution has room for.
    assert model.seen == 8
    assert rows[-1]["waiting"] > 0.5
