"""The training loop of Keras: going on within an epoch of `fit`, and how long it waits for batches.

`fit` calls `model.train_function` for each step, which has other arguments on each backend. On
TensorFlow the state of the metrics is made at the first step, elsewhere before.
"""

import contextlib
import time

import keras

from keras_staa import _keras


def skip(model, steps, logs, metrics, then):
    """Let `fit` pass over the first steps of the epoch that begins.

    Their batches are read, as they were before, but nothing is learned from them.

    Args:
        model: a model within `fit`, at the beginning of an epoch.
        steps: positive integer, of batches.
        logs: dictionary, which other callbacks get for these steps.
        metrics: list of arrays, the state of the metrics after them.
        then: function `()`, called behind the last of them.

    Returns:
        The function `left()`: how many steps are still to be passed over.
    """
    train, each = model.train_function, model.steps_per_execution
    remaining = steps

    def passed():
        nonlocal remaining
        remaining -= each
        if remaining < 0:
            raise ValueError(
                f"`steps_per_execution` must divide the {steps} steps of the epoch that are done. "
                f"Received: steps_per_execution={each}"
            )
        if not remaining:
            model.train_function = train
            then()
        return dict(logs)

    def batches(iterator):
        batch = next(iterator)
        with contextlib.suppress(StopIteration):  # fewer are left
            for _ in range(each - 1):
                next(iterator)
        return batch

    def tensorflow(iterator):
        batch = batches(iterator)
        if remaining == steps:
            _keras.build_metrics(model, batch)
            _set_metrics(model, metrics)
        return passed()

    def jax(state, iterator):
        batches(iterator)
        return passed(), state

    def torch(data):
        return passed()

    backend = keras.backend.backend()
    if backend != "tensorflow":
        _set_metrics(model, metrics)
    model.train_function = {"tensorflow": tensorflow, "jax": jax, "torch": torch}[backend]
    return lambda: remaining


def _set_metrics(model, values):
    variables = model.metrics_variables
    if [tuple(v.shape) for v in variables] != [value.shape for value in values]:
        raise ValueError(
            f"`model` must be compiled with the metrics of the checkpoint, whose state has "
            f"{len(values)} parts. Received: {[metric.name for metric in model.metrics]}"
        )
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def measure_waiting(model):
    """Let `fit` measure how long it waits for its batches.

    Args:
        model: a model within `fit`, at the beginning of the training.

    Returns:
        The function `seconds()`: how long it has waited so far; None where that is not known, on
        TensorFlow with several devices. On PyTorch `fit` fetches a batch between two steps, and
        not within one: there it is always None.
    """
    train, waited, known = model.train_function, 0.0, True

    def fetch(iterator):
        nonlocal waited
        start = time.perf_counter()
        try:
            return next(iterator)
        finally:
            waited += time.perf_counter() - start

    class Timed:
        def __init__(self, iterator):
            self.iterator = iterator

        def __iter__(self):
            return self

        def __next__(self):
            return fetch(self.iterator)

    def jax(state, iterator):
        return train(state, Timed(iterator))

    def tensorflow(iterator):
        nonlocal known
        import tensorflow as tf

        if not isinstance(iterator, tf.data.Iterator):
            known = False
            return train(iterator)
        batches = [fetch(iterator)]
        with contextlib.suppress(StopIteration):  # fewer are left
            for _ in range(model.steps_per_execution - 1):
                batches.append(fetch(iterator))
        return train(iter(batches))

    backend = keras.backend.backend()
    if backend == "torch":
        return lambda: None
    model.train_function = {"tensorflow": tensorflow, "jax": jax}[backend]
    return lambda: waited if known else None
