"""Arrays as batches: each sample once in an epoch, in an order that follows from the epoch."""

import keras
import numpy as np
import pytest

from keras_staa import data

X = np.arange(11)
Y = X * 10


def epoch(batches):
    parts = [batches[index] for index in range(len(batches))]
    return [np.concatenate(part) for part in zip(*parts, strict=True)]


def test_each_sample_once_with_its_target_and_weight():
    batches = data.arrays(X, Y, X / 2, batch_size=4)
    x, y, weight = epoch(batches)
    assert sorted(x) == list(X) != list(x)
    np.testing.assert_array_equal(y, 10 * x)
    np.testing.assert_array_equal(weight, x / 2)
    assert [len(batches[index][0]) for index in range(len(batches))] == [4, 4, 3]
    assert len(data.arrays(X, Y, batch_size=4, drop_remainder=True)) == 2
    with pytest.raises(IndexError, match="`index` must be in"):
        batches[3]


def test_without_shuffling_the_order_is_that_of_the_arrays():
    batches = data.arrays(X, Y, batch_size=4, shuffle=False)
    batches.on_epoch_end()
    np.testing.assert_array_equal(epoch(batches)[0], X)


def test_structures_of_arrays():
    batches = data.arrays({"a": X, "b": 2 * X}, (X, Y), batch_size=4)
    inputs, (first, second) = batches[0]
    np.testing.assert_array_equal(inputs["b"], 2 * inputs["a"])
    np.testing.assert_array_equal(second, 10 * first)
    np.testing.assert_array_equal(inputs["a"], first)


class Seen(keras.callbacks.Callback):
    """What the network was given, epoch by epoch."""

    def __init__(self, batches):
        super().__init__()
        self.epochs, batches.seen = [], self

    def on_epoch_begin(self, epoch, logs=None):
        self.epochs.append([])


class Noting(type(data.arrays(X))):
    def __getitem__(self, index):
        batch = super().__getitem__(index)
        if hasattr(self, "seen") and self.seen.epochs:
            self.seen.epochs[-1].append(batch[0].ravel().tolist())
        return batch


def fitted(epochs, initial_epoch=0, set_epoch=None):
    batches = data.arrays(X[:, None].astype("float32"), Y[:, None].astype("float32"), batch_size=4)
    batches.__class__ = Noting
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    seen = Seen(batches)
    callbacks = [seen]
    if set_epoch:
        callbacks.append(
            keras.callbacks.LambdaCallback(on_epoch_begin=lambda e, _: set_epoch(batches, e))
        )
    options = {"epochs": epochs, "initial_epoch": initial_epoch, "shuffle": False, "verbose": 0}
    model.fit(batches, callbacks=callbacks, **options)
    return seen.epochs


def test_set_epoch_gives_what_fit_had_in_that_epoch():
    whole = fitted(3)
    assert whole[0] != whole[1] != whole[2]
    assert fitted(3, 2, lambda batches, epoch: batches.set_epoch(epoch)) == whole[2:]


@pytest.mark.parametrize(
    "given, message",
    [
        ({"y": Y[:3]}, r"must have the same number of samples.*Received: \[3, 11\] samples"),
        ({"x": X[:0]}, "at least one"),
        ({"x": np.float32(1)}, "at least one"),
        ({"batch_size": 0}, "`batch_size` must be a positive integer"),
        ({"seed": -1}, "`seed` must be a non-negative integer. Received: seed=-1"),
        ({"shuffle": 1}, "`shuffle` must be True or False"),
    ],
)
def test_bad_arguments(given, message):
    with pytest.raises(ValueError, match=message):
        data.arrays(**{"x": X, **given})
