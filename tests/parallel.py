"""Compile the training step of a network for devices that need not be there, and say what moves.

    python -m tests.parallel cpu|tpu

prints, as JSON, how often each collective operation occurs in the compiled program, in one line
without `remat` and in one with it. Run with KERAS_BACKEND=jax; for `cpu` with eight forced host
devices.
"""

import json
import re
import sys

COLLECTIVES = (
    "all-gather",
    "all-reduce",
    "all-to-all",
    "collective-permute",
    "reduce-scatter",
    "collective-broadcast",
)


def mesh(kind):
    import jax
    import numpy as np
    from jax.experimental import topologies

    if kind == "cpu":
        return jax.sharding.Mesh(np.array(jax.devices("cpu")), ("batch",))
    topology = topologies.get_topology_desc(platform="tpu", topology_name="v5e:2x2")
    return jax.sharding.Mesh(np.array(topology.devices), ("batch",))


def network(remat):
    """A small network with what the large ones have: every sum over a batch is in it."""
    import keras

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


def compiled_step(model, devices, batch):
    """The training step of a compiled model, its batch split over the devices."""
    import jax
    from jax.sharding import NamedSharding, PartitionSpec

    whole = NamedSharding(devices, PartitionSpec())
    split = NamedSharding(devices, PartitionSpec("batch"))

    def abstract(tensor, sharding):
        return jax.ShapeDtypeStruct(tensor.shape, tensor.dtype, sharding=sharding)

    state = model._get_jax_state(
        trainable_variables=True,
        non_trainable_variables=True,
        optimizer_variables=True,
        metrics_variables=True,
    )
    state = jax.tree.map(lambda tensor: abstract(tensor, whole), state)
    x = jax.ShapeDtypeStruct((batch, *model.input_shape[1:]), "float32", sharding=split)
    y = jax.ShapeDtypeStruct((batch,), "int32", sharding=split)
    step = jax.jit(model.train_step, donate_argnums=0, out_shardings=(None, whole))
    platform = devices.devices.flat[0].platform
    lowered = step.trace(state, (x, y)).lower(lowering_platforms=(platform,))
    return lowered.compile()


def collectives(program):
    """Name -> how often, of the operations that exchange something between devices."""
    found = re.findall(rf"= .*? ({'|'.join(COLLECTIVES)})(?:-start)?\(", program)
    return {name: found.count(name) for name in set(found)}


def main(kind):
    for remat in (False, True):
        model = network(remat)
        model.compile("sgd", "sparse_categorical_crossentropy")
        model.optimizer.build(model.trainable_variables)
        devices = mesh(kind)
        program = compiled_step(model, devices, batch=2 * devices.size)
        print(json.dumps(collectives(program.as_text())))


if __name__ == "__main__":
    main(*sys.argv[1:])
