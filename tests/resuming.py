"""What the tests of checkpoints share, and the run that they kill: `python -m tests.resuming`."""

import hashlib
import io
import os
import signal
import sys
import time

import keras
import numpy as np

from keras_staa import data, files
from keras_staa.callbacks import Checkpoint
from tests.zoo.support import Tiny

BATCHES, EPOCHS = 6, 3
_RNG = np.random.default_rng(0)
X = _RNG.random((8 * BATCHES - 3, 8, 8, 3), dtype="float32")
Y = (X.mean((1, 2, 3)) > 0.5).astype("int32")


def network():
    """With all that has a state: normalization, learned M and N, draws of bypass and dropout."""
    keras.utils.set_random_seed(1)
    given = {"input_shape": (8, 8, 3), "steps": 2, "width": 4, "classes": 2, "bypass_rate": 0.3}
    body = Tiny(**given, neuron={"threshold": 0.2}, classifier_activation=None)
    outputs = keras.layers.Dropout(0.3)(body.output)
    model = keras.Model(body.input, keras.layers.Dense(2)(outputs))
    schedule = keras.optimizers.schedules.CosineDecay(0.05, BATCHES * EPOCHS)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(schedule, momentum=0.9), loss, metrics=["accuracy"])
    return model


class At(keras.callbacks.Callback):
    """Calls a function behind a step or, without one, behind the epoch."""

    def __init__(self, epoch, step, function):
        super().__init__()
        self.place, self.function = (epoch, step), function

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch + 1) == self.place:
            self.function()

    def on_epoch_end(self, epoch, logs=None):
        if (epoch, None) == self.place:
            self.function()


def fit(folder, save_freq, *more, train=None, **options):
    """Train a new network as far as the callbacks let it, from the checkpoint that is there."""
    model = network()
    train = data.arrays(X, Y, batch_size=8) if train is None else train
    known = train if hasattr(train, "set_epoch") else None
    inputs = {"x": train[0], "y": train[1]} if isinstance(train, tuple) else {"x": train}
    checkpoint = Checkpoint(folder, data=known, save_freq=save_freq)
    first = checkpoint.restore(model)
    history = model.fit(
        **inputs,
        **options,
        epochs=EPOCHS,
        initial_epoch=first,
        callbacks=[checkpoint, *more],
        verbose=0,
    )
    return model, history.history


def state(model):
    """Weights, momenta and draws, as bytes that differ if one bit does."""
    every = [*model.variables, *model.optimizer.variables]
    return [keras.ops.convert_to_numpy(variable).tobytes() for variable in every]


def digest(model):
    return hashlib.sha256(b"".join(state(model))).hexdigest()


def _slow_writes(name):
    """Let the file of a checkpoint be written so slowly that it can be killed in its middle."""

    class Slow(io.FileIO):
        def write(self, content):
            super().write(content[: len(content) // 2])
            print("half", flush=True)
            time.sleep(600)

    def opened(path, mode):
        return Slow(path, mode) if path.name.startswith(name) else open(path, mode)

    files.open = opened


if __name__ == "__main__":
    folder, how = sys.argv[1:]
    more = []
    if how == "step":
        more = [At(1, 4, lambda: os.kill(os.getpid(), signal.SIGKILL))]
    elif how != "whole":
        _slow_writes(how)
    print(digest(fit(folder, 3, *more)[0]), flush=True)
