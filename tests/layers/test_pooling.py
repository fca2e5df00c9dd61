"""Maxima over space let NaN through, and are Keras's otherwise."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_staa.layers import pooling

KINDS = {
    "max": ("MaxPooling2D", {"pool_size": 3, "strides": 2, "padding": "same"}),
    "valid": ("MaxPooling2D", {"pool_size": 3, "strides": 2}),
    "global": ("GlobalMaxPooling2D", {}),
}
TORCH = keras.backend.backend() == "torch"
NONE = pytest.mark.skipif(TORCH, reason="Nothing of PyTorch's is compiled there.")
COMPILED = [False, pytest.param(True, marks=NONE)]


def called(layer, x, compiled):
    call = layer
    if compiled and keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        call = tf.function(layer, jit_compile=True, autograph=False)
    elif compiled:
        import jax

        call = jax.jit(layer)
    return ops.convert_to_numpy(call(ops.convert_to_tensor(x)))


@pytest.mark.parametrize("compiled", COMPILED)
# Of many channels several are computed by one instruction.
@pytest.mark.parametrize("channels", [3, 64])
@pytest.mark.parametrize("kind", KINDS)
def test_no_number_passes(kind, channels, compiled):
    name, arguments = KINDS[kind]
    own = getattr(pooling, name)(**arguments)
    x = np.random.default_rng(0).normal(0, 1, (2, 9, 9, channels)).astype("float32")
    x[0, 0, 0, 2], x[0, 8, 8, 2] = np.inf, -np.inf
    expected = called(getattr(keras.layers, name)(**arguments), x, False)
    np.testing.assert_array_equal(called(own, x, compiled), expected)
    x[1, 4, 4, 1] = np.nan
    got = called(own, x, compiled)
    places = np.zeros(got.shape, bool)
    if kind == "global":
        places[1, 1] = True
    elif kind == "max":
        # Windows of three begin at -1, 1, 3, 5 and 7: the one at 3 holds place 4.
        places[1, 2, 2, 1] = True
    else:
        # Windows of three begin at 0, 2, 4 and 6: those at 2 and 4 hold place 4.
        places[1, 1:3, 1:3, 1] = True
    np.testing.assert_array_equal(np.isnan(got), places)
    np.testing.assert_array_equal(got[~places], expected[~places])


@pytest.mark.skipif(not TORCH, reason="Layouts are XLA's own affair elsewhere.")
def test_values_keep_their_order_in_memory():
    """A result in another order makes all that follows several times as slow."""
    import torch

    x = torch.randn(2, 9, 9, 4, requires_grad=True)
    y = pooling.MaxPooling2D(2)(x)
    y.square().sum().backward()
    assert y.is_contiguous()
    assert x.grad.is_contiguous()
    expected = keras.layers.MaxPooling2D(2)(x)
    assert torch.equal(y, expected)
    assert torch.equal(torch.autograd.grad(expected.square().sum(), x)[0], x.grad)
