"""Compile the training step of a network for devices that need not be there, and say what moves.

    python -m tests.parallel cpu|triton|mosaic|tpu|gpu

prints, as JSON, what the compiled program takes, in one line without `remat` and in one with it.
Run with KERAS_BACKEND=jax; for `cpu` and the kernels with eight forced host devices. `triton` and
`mosaic` take the kernels for GPUs and TPUs, interpreted, and also run the step, on one device and
on all.
"""

import json
import sys

import keras
import numpy as np
import pytest

from keras_staa import _keras
from keras_staa.ops.kernels import MACHINES
from keras_staa.training import topology
from tests.kernels import interpret


def network(remat):
    """A small network with what the large ones have: every sum over a batch is in it."""
    from keras_staa.layers import LIF, STAALIF, BatchNormalization, Conv2D, MeanOverSteps, PerStep
    from keras_staa.models import Network

    inputs = keras.Input((2, 8, 8, 3))
    x = PerStep(BatchNormalization())(PerStep(Conv2D(8, 3, padding="same"))(inputs))
    x = STAALIF(seed=0, name="cut")(x)
    x = LIF(learn=True)(PerStep(Conv2D(8, 3, strides=2))(x))
    x = MeanOverSteps()(PerStep(keras.layers.GlobalAveragePooling2D())(x))
    outputs = keras.layers.Dense(4, activation="softmax")(x)
    if remat:
        return Network(inputs, outputs, stages={"one": ["cut"]}, remat=True)
    return keras.Model(inputs, outputs)


TOPOLOGIES = {"tpu": "v5e:2x2", "gpu": "h100:4"}


def main(kind):
    if kind in MACHINES:
        interpret(pytest.MonkeyPatch(), kind)
    for remat in (False, True):
        keras.utils.set_random_seed(0)
        model = network(remat)
        model.compile(keras.optimizers.SGD(1.0), "sparse_categorical_crossentropy")
        mesh = topology.devices(TOPOLOGIES.get(kind, "here"))
        step = topology.compile_step(model, mesh, batch=2 * mesh.size)
        found = topology.describe_step(step)
        if kind in MACHINES:
            found["difference"] = difference(model, step, mesh)
        print(json.dumps(found))


def difference(model, step, mesh):
    """Largest difference in a weight after a step on one device and after one on all."""
    import jax

    rng = np.random.default_rng(0)
    for v in model.trainable_variables:
        # At their start some weights have no gradient.
        v.assign(np.asarray(v) + rng.normal(0, 0.2, v.shape))
    x = rng.uniform(0, 1, (2 * mesh.size, *model.input_shape[1:])).astype("float32")
    y = rng.integers(0, 4, 2 * mesh.size).astype("int32")
    state = jax.tree.map(np.array, _keras.jax_state(model))
    one = jax.jit(model.train_step)(state, (x, y))[1]
    split = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("batch"))
    whole = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    data = jax.device_put((x, y), split)
    many = step(jax.device_put(state, whole), data)[1]
    moved = jax.tree.map(lambda a, b: float(np.abs(np.asarray(a) - b).max()), one[0], state[0])
    # The bias in front of batch normalization has no gradient.
    assert sorted(jax.tree.leaves(moved))[1] > 5e-5, moved
    apart = jax.tree.map(lambda a, b: float(np.abs(np.asarray(a) - b).max()), one[0], many[0])
    return max(jax.tree.leaves(apart))


if __name__ == "__main__":
    main(*sys.argv[1:])
