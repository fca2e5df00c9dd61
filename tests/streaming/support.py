"""What the tests of streams share."""

import keras
import numpy as np

from tests.zoo.support import Tiny, randomise

IMAGE, FRAMES = (12, 12, 3), (5, 12, 12, 2)


def network(seed=0, create=Tiny, **arguments):
    """A network whose every weight is random, and which classifies."""
    given = {"input_shape": IMAGE, "steps": 3, "width": 4, "classes": 3, "causal": True}
    if len(arguments.get("input_shape", IMAGE)) == 4:
        given.pop("steps")
    neuron = {"neuron": {"threshold": 0.3}}
    return randomise(create(**{**given, **neuron, **arguments}), seed)


def samples(model, count=4, seed=1):
    return np.random.default_rng(seed).random((count, *model.input_shape[1:])).astype("float32")


def array(values):
    return keras.ops.convert_to_numpy(values)


def run(stepper, x, state=None):
    """Return the outputs after each step, and the last state."""
    state = stepper.initial_state(len(x)) if state is None else state
    found = []
    for t in range(stepper.steps):
        outputs, state = stepper.step(x if stepper.takes_images else x[:, t], state)
        found.append(keras.tree.map_structure(array, outputs))
    return found, state
