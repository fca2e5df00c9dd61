"""What a training step of a layer costs by XLA's count, which no other load on a machine changes.

A count that grows by over 5 % fails; one that shrinks as much asks for the smaller number here.
"""

import keras
import numpy as np
import pytest

from keras_staa.layers import LIF, STAALIF
from tests.layers.support import stateless

# Time steps; floating-point operations, and bytes read and written, over the bytes of the input.
COSTS = {
    "relu": (keras.layers.ReLU, {}, 4, 3.0, 5.0),
    "lif": (LIF, {}, 4, 17.5, 5.0),
    "lif-learned": (LIF, {"learn": True}, 4, 45.25, 9.77),
    "staalif": (STAALIF, {"seed": 0}, 4, 71.13, 23.72),
    "staalif-16": (STAALIF, {"seed": 0}, 16, 300.84, 59.78),
}


def costs(layer, steps):
    import jax

    shape = (8, steps, 16, 16, 32)
    layer.build(shape)
    call = stateless(layer, training=True) if isinstance(layer, STAALIF) else stateless(layer)

    def step(x, g, *weights):
        output, pull = jax.vjp(call, x, *weights)
        return output, pull(g)

    x = jax.ShapeDtypeStruct(shape, "float32")
    weights = [jax.ShapeDtypeStruct(v.shape, v.dtype) for v in layer.trainable_variables]
    counted = jax.jit(step).lower(x, x, *weights).compile().cost_analysis()
    size = 4 * np.prod(shape)
    return counted["flops"] / (size / 4), counted["bytes accessed"] / size


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="XLA's count is taken on JAX.")
@pytest.mark.parametrize("name", COSTS)
def test_operations_and_bytes_do_not_grow(name):
    kind, arguments, steps, *expected = COSTS[name]
    got = costs(kind(**arguments), steps)
    for what, value, known in zip(("operations", "bytes"), got, expected, strict=True):
        assert value < 1.05 * known, f"{what}: {value:.2f} an element, up from {known}"
        assert value > 0.95 * known, f"{what}: {value:.2f} an element: write the new number here"
