"""Several devices of one machine, by the engines of Keras and of the backends."""

import contextlib

import keras

from keras_staa import checks
from keras_staa.layers import flatten_layers
from keras_staa.models.transfer import READ_OUT
from keras_staa.training.processes import ALONE

# The axes of a mesh of devices, named as in the documentation of Keras.
BATCH, MODEL = "batch", "model"


@contextlib.contextmanager
def use_devices(count, batch_size, group=ALONE, model_devices=None):
    """Build and train inside: every batch is split over the devices.

    JAX uses `keras.distribution.DataParallel`: one program for all devices, and batch normalization
    over the whole batch. With `model_devices` it is `keras.distribution.ModelParallel` with the
    layout of `layout_map`. TensorFlow uses `tf.distribute.MirroredStrategy`: batch normalization is
    over the whole batch after `prepare`. PyTorch has no such engine in Keras, and trains with
    several processes.

    With several processes on JAX, all devices of all of them are used.

    Args:
        count: None for what the backend does by itself, or how many devices to use.
        batch_size: positive integer, of all devices together.
        group: `keras_staa.training.processes.Group`, the processes of this training.
        model_devices: None, or how many of the devices share the classes of the read-out. They work
            on the same part of a batch. JAX in one process only.

    Raises:
        ValueError: if there are fewer devices, or they do not divide the batch.
    """
    if keras.backend.backend() == "jax" and group.count > 1:
        count = len(keras.distribution.list_devices()) if count is None else count
    if count is not None:
        checks.positive_int("devices", count)
    parts = count
    if model_devices is not None:
        parts = _parts(count, checks.positive_int("model_devices", model_devices), group)
    if count is None:
        yield
        return
    if batch_size % parts:
        shared = "" if model_devices is None else f", model_devices={model_devices}"
        raise ValueError(
            "`batch_size` must be divided by the number of devices that it is split over. "
            f"Received: batch_size={batch_size}, devices={count}{shared}"
        )
    if count == 1:
        yield
        return
    engines = {"jax": _jax, "tensorflow": _tensorflow, "torch": _torch}
    with engines[keras.backend.backend()](count, parts):
        yield


def layout_map(device_mesh):
    """Return the layout of networks whose read-out is split by its classes.

    With very many classes, the read-out is the largest part of a network. All other weights are on
    every device.

    Args:
        device_mesh: `keras.distribution.DeviceMesh` with an axis `"model"`, whose size must divide
            the number of classes.

    Returns:
        A `keras.distribution.LayoutMap`, to which layouts of other weights can be added.

    Raises:
        ValueError: if the mesh has no axis `"model"`.

    Example:

    ```python
    mesh = keras.distribution.DeviceMesh((4, 2), ("batch", "model"))
    layout = keras_staa.training.layout_map(mesh)
    with keras.distribution.ModelParallel(layout_map=layout, batch_dim_name="batch").scope():
        model = keras_staa.STAAResNet34(classes=20000)
    ```
    """
    if MODEL not in device_mesh.axis_names:
        raise ValueError(
            f"`device_mesh` must have an axis 'model'. Received: axes {device_mesh.axis_names}"
        )
    layout = keras.distribution.LayoutMap(device_mesh)
    layout[f"(^|/){READ_OUT}/kernel$"] = (None, MODEL)
    layout[f"(^|/){READ_OUT}/bias$"] = (MODEL,)
    return layout


def check_classes(classes, model_devices):
    """Raise a `ValueError` if devices cannot share the classes of a read-out."""
    if model_devices is None:
        return
    if classes % checks.positive_int("model_devices", model_devices):
        raise ValueError(
            f"`model_devices` must divide the number of classes, {classes}. "
            f"Received: model_devices={model_devices}"
        )


def prepare(network):
    """Return a network for training on the devices in use.

    On TensorFlow's `MirroredStrategy` batch normalization would use the part of each device: it is
    told to use the whole batch. On JAX it does already.

    Raises:
        ValueError: if devices are to share the classes of a read-out that is not there.
    """
    engine = keras.distribution.distribution()
    if isinstance(engine, keras.distribution.ModelParallel) and not any(
        engine.get_tensor_layout(variable.path) for variable in network.variables
    ):
        raise ValueError(
            f"`model_devices` needs a network with a layer {READ_OUT!r}, whose classes they share. "
            f"Received: the layers {[layer.name for layer in network.layers]}"
        )
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        if tf.distribute.get_strategy().num_replicas_in_sync > 1:
            for layer in flatten_layers(network):
                if isinstance(layer, keras.layers.BatchNormalization):
                    layer.synchronized = True
    return network


def _parts(count, model_devices, group):
    """Return over how many devices a batch is split, where others share its parts."""
    backend = keras.backend.backend()
    if backend != "jax" or group.count > 1:
        raise ValueError(
            "`model_devices` needs the backend JAX in one process. Received: "
            f"model_devices={model_devices}, backend={backend!r}, processes={group.count}"
        )
    if count is None or count % model_devices:
        raise ValueError(
            f"`model_devices` must divide `devices`. Received: model_devices={model_devices}, "
            f"devices={count}"
        )
    return count // model_devices


def _jax(count, parts):
    found = keras.distribution.list_devices()
    _check(count, found)
    # The batches are those of the whole run; Keras would split a `tf.data.Dataset` by processes.
    if parts == count:
        engine = keras.distribution.DataParallel(devices=found[:count], auto_shard_dataset=False)
        return engine.scope()
    mesh = keras.distribution.DeviceMesh((parts, count // parts), (BATCH, MODEL), found[:count])
    engine = keras.distribution.ModelParallel(
        layout_map=layout_map(mesh), batch_dim_name=BATCH, auto_shard_dataset=False
    )
    return engine.scope()


def _tensorflow(count, parts):
    import tensorflow as tf

    found = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    _check(count, [device.name for device in found])
    return tf.distribute.MirroredStrategy([device.name for device in found[:count]]).scope()


def _torch(count, parts):
    raise ValueError(
        "`devices` must be 1 on PyTorch, where `fit` of Keras trains on one device. Received: "
        f"devices={count}. `keras-staa train --devices {count}` starts a process for each."
    )


def _check(count, found):
    if count > len(found):
        raise ValueError(
            f"`devices` must be at most {len(found)}, the devices of this machine. "
            f"Received: devices={count}"
        )
