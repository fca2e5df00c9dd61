"""Compile the training step of a network for devices that need not be there, and say what moves.

    python -m tests.parallel cpu|tpu

prints, as JSON, what the compiled program takes, in one line without `remat` and in one with it.
Run with KERAS_BACKEND=jax; for `cpu` with eight forced host devices.
"""

import json
import sys

from keras_staa.training import topology


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


def main(kind):
    for remat in (False, True):
        model = network(remat)
        model.compile("sgd", "sparse_categorical_crossentropy")
        mesh = topology.devices("here" if kind == "cpu" else "v5e:2x2")
        step = topology.compile_step(model, mesh, batch=2 * mesh.size)
        print(json.dumps(topology.describe_step(step)))


if __name__ == "__main__":
    main(*sys.argv[1:])
