"""Several devices of one machine, by the engines of Keras and of the backends."""

import contextlib

import keras

from keras_staa import checks
from keras_staa.layers import flatten_layers
from keras_staa.models.transfer import READ_OUT
from keras_staa.training.processes import ALONE

# The axis of a mesh of devices, named as in the documentation of Keras.
BATCH = "batch"


@contextlib.contextmanager
def use_devices(count, batch_size, group=ALONE, split_read_out=False, teacher=False):
    """Build and train inside: every batch is split over the devices.

    JAX uses `keras.distribution.DataParallel`: one program for all devices, and batch normalization
    over the whole batch. With `split_read_out` it is `keras.distribution.ModelParallel` with the
    layout of `layout_map`. TensorFlow uses `tf.distribute.MirroredStrategy`: batch normalization is
    over the whole batch after `prepare`. PyTorch has no such engine in Keras, and trains with
    several processes.

    With several processes on JAX, all devices of all of them are used.

    Args:
        count: None for what the backend does by itself, or how many devices to use.
        batch_size: positive integer, of all devices together.
        group: `keras_staa.training.processes.Group`, the processes of this training.
        split_read_out: boolean, whether each device holds the read-out of its part of the classes
            alone. JAX in one process only.
        teacher: boolean, whether a teacher runs beside the network, whose logits may have another
            shape.

    Raises:
        ValueError: if there are fewer devices, or they do not divide the batch.
    """
    backend = keras.backend.backend()
    if backend == "jax" and group.count > 1:
        count = len(keras.distribution.list_devices()) if count is None else count
    if checks.boolean("split_read_out", split_read_out):
        _check_split(count, group)
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
    if split_read_out:
        engine = _jax(count, lambda mesh: layout_map(mesh, logits=not teacher))
    else:
        engine = {"jax": _jax, "tensorflow": _tensorflow, "torch": _torch}[backend](count)
    with engine:
        yield


def of_devices(devices, processes):
    """Return the devices and the processes of a training: PyTorch has a process for each device.

    Args:
        devices: None, or how many devices of this machine share each batch.
        processes: None, or the number of processes.

    Raises:
        ValueError: if there are fewer GPUs, or the two differ on PyTorch.
    """
    if devices is None or keras.backend.backend() != "torch":
        return devices, processes
    import torch

    checks.positive_int("devices", devices)
    if torch.cuda.is_available():
        _check(devices, range(torch.cuda.device_count()))
    if processes is None:
        return None, devices if devices > 1 else None
    if processes != devices:
        raise ValueError(
            "`devices` and `processes` must be equal on PyTorch, where each device has its own "
            f"process. Received: devices={devices}, processes={processes}"
        )
    return None, processes


def layout_map(device_mesh, axis=BATCH, logits=True):
    """Return the layout of networks whose read-out is split by its classes.

    With very many classes, the read-out is the largest part of a network. All other weights are on
    every device. Along the axis of the batch, no device repeats the work of another; along another
    axis, the devices do all but the read-out for the same part of a batch.

    Args:
        device_mesh: `keras.distribution.DeviceMesh`.
        axis: name of an axis of the mesh, whose size must divide the number of classes.
        logits: boolean, whether the logits (B, T, classes) are split as well, which saves memory.
            Then no other layer may be called `"predictions"`, such as that of a teacher.

    Returns:
        A `keras.distribution.LayoutMap`, to which layouts of other weights can be added.

    Raises:
        ValueError: if the mesh has no such axis.

    Example:

    ```python
    mesh = keras.distribution.DeviceMesh((8,), ("batch",))
    layout = keras_staa.training.layout_map(mesh)
    with keras.distribution.ModelParallel(layout_map=layout, batch_dim_name="batch").scope():
        model = keras_staa.STAAResNet34(classes=20000)
    ```
    """
    if axis not in device_mesh.axis_names:
        raise ValueError(
            f"`axis` must be an axis of `device_mesh`, {device_mesh.axis_names}. "
            f"Received: axis={axis!r}"
        )
    layout = keras.distribution.LayoutMap(device_mesh)
    layout[f"(^|/){READ_OUT}/kernel$"] = (None, axis)
    layout[f"(^|/){READ_OUT}/bias$"] = (axis,)
    if logits:
        # Without it, each device gathers the gradient of all logits of the whole batch.
        layout[f"(^|/){READ_OUT}/output$"] = (None, None, axis)
    return layout


def check_classes(classes, count):
    """Raise a `ValueError` if devices cannot share the classes of a read-out.

    Args:
        classes: positive integer.
        count: positive integer, the devices.
    """
    if classes % count:
        raise ValueError(
            "`split_read_out` needs a number of devices that divides the number of classes. "
            f"Received: devices={count}, classes={classes}"
        )


def prepare(network):
    """Return a network for training on the devices in use.

    On TensorFlow's `MirroredStrategy` batch normalization would use the part of each device: it is
    told to use the whole batch. On JAX it does already.

    Raises:
        ValueError: if a read-out is to be split that is not there.
    """
    engine = keras.distribution.distribution()
    if isinstance(engine, keras.distribution.ModelParallel) and not any(
        engine.get_tensor_layout(variable.path) for variable in network.variables
    ):
        raise ValueError(
            f"`split_read_out` needs a network with a layer {READ_OUT!r}. "
            f"Received: the layers {[layer.name for layer in network.layers]}"
        )
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        if tf.distribute.get_strategy().num_replicas_in_sync > 1:
            for layer in flatten_layers(network):
                if isinstance(layer, keras.layers.BatchNormalization):
                    layer.synchronized = True
    return network


def _check_split(count, group):
    backend = keras.backend.backend()
    if backend != "jax" or group.count > 1 or count is None:
        raise ValueError(
            "`split_read_out` needs the backend JAX in one process, and `devices`. Received: "
            f"backend={backend!r}, processes={group.count}, devices={count}"
        )


def _jax(count, layout=None):
    """Return the scope of an engine; `layout` makes the layout of weights that are split."""
    found = keras.distribution.list_devices()
    _check(count, found)
    # The batches are those of the whole run; Keras would split a `tf.data.Dataset` by processes.
    whole = {"auto_shard_dataset": False}
    if layout is None:
        return keras.distribution.DataParallel(devices=found[:count], **whole).scope()
    mesh = keras.distribution.DeviceMesh((count,), (BATCH,), found[:count])
    return keras.distribution.ModelParallel(
        layout_map=layout(mesh), batch_dim_name=BATCH, **whole
    ).scope()


def _tensorflow(count):
    import tensorflow as tf

    found = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    _check(count, [device.name for device in found])
    return tf.distribute.MirroredStrategy([device.name for device in found[:count]]).scope()


def _torch(count):
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
