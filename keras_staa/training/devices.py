"""Several devices of one machine, by the engines of Keras and of the backends."""

import contextlib

import keras

from keras_staa import checks
from keras_staa.training.processes import ALONE


@contextlib.contextmanager
def use_devices(count, batch_size, group=ALONE):
    """Build and train inside: every batch is split over the devices.

    JAX uses `keras.distribution.DataParallel`: one program for all devices, and batch normalization
    over the whole batch. TensorFlow uses `tf.distribute.MirroredStrategy`: batch normalization over
    the part of each device. PyTorch has no such engine in Keras, and trains with several processes.

    With several processes on JAX, all devices of all of them are used.

    Args:
        count: None for what the backend does by itself, or how many devices to use.
        batch_size: positive integer, of all devices together.
        group: `keras_staa.training.processes.Group`, the processes of this training.

    Raises:
        ValueError: if there are fewer devices, or they do not divide the batch.
    """
    if keras.backend.backend() == "jax" and group.count > 1:
        count = len(keras.distribution.list_devices()) if count is None else count
    if count is None:
        yield
        return
    checks.positive_int("devices", count)
    if batch_size % count:
        raise ValueError(
            f"`batch_size` must be divided by the number of devices. Received: "
            f"batch_size={batch_size}, devices={count}"
        )
    if count == 1:
        yield
        return
    engines = {"jax": _jax, "tensorflow": _tensorflow, "torch": _torch}
    with engines[keras.backend.backend()](count):
        yield


def _jax(count):
    found = keras.distribution.list_devices()
    _check(count, found)
    # The batches are those of the whole run; Keras would split a `tf.data.Dataset` by processes.
    engine = keras.distribution.DataParallel(devices=found[:count], auto_shard_dataset=False)
    return engine.scope()


def _tensorflow(count):
    import tensorflow as tf

    found = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    _check(count, [device.name for device in found])
    return tf.distribute.MirroredStrategy([device.name for device in found[:count]]).scope()


def _torch(count):
    raise ValueError(
        "`devices` must be 1 on PyTorch, where `fit` of Keras trains on one device. "
        f"Received: devices={count}. Train with `--processes {count}` instead."
    )


def _check(count, found):
    if count > len(found):
        raise ValueError(
            f"`devices` must be at most {len(found)}, the devices of this machine. "
            f"Received: devices={count}"
        )
