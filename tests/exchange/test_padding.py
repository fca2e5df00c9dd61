"""Padding both sides alike gives the convolution that Keras makes."""

import itertools

import keras
import numpy as np
import pytest

from keras_staa.exchange.padding import symmetric

SIZES = [(8, 8), (7, 7), (8, 7), (9, 6)]


@pytest.mark.parametrize("size, extent, stride", itertools.product(SIZES, (1, 3, 5), (1, 2)))
def test_it_is_that_of_keras(size, extent, stride):
    rng = np.random.default_rng(0)
    kernel = rng.normal(0, 1, (2, 3, extent, extent)).astype("float32")
    x = rng.normal(0, 1, (2, *size, 3)).astype("float32")
    expected = keras.ops.conv(x, kernel.transpose(2, 3, 1, 0), stride, "same", "channels_last")
    found, pads = symmetric(kernel, size, (stride, stride), "same")
    assert found.shape[2] == found.shape[3]
    padded = np.pad(x, [(0, 0), *((n, n) for n in pads), (0, 0)])
    y = keras.ops.conv(padded, found.transpose(2, 3, 1, 0), stride, "valid", "channels_last")
    y, expected = (keras.ops.convert_to_numpy(v) for v in (y, expected))
    np.testing.assert_allclose(y, expected, atol=1e-5)
