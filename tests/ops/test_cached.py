"""Sums and updates by blocks of a batch, against NumPy."""

import keras
import numpy as np
import pytest

from keras_staa.ops.collected import collected
from keras_staa.ops.sums import batch_sum, float_mean

# On PyTorch blocks of 10, of 10 and of 3 samples.
SHAPE = (23, 2, 8, 8, 96)


def drawn(dtype):
    values = np.random.default_rng(0).normal(0.3, 1, SHAPE).astype("float32")
    tensor = keras.ops.cast(keras.ops.convert_to_tensor(values), dtype)
    return tensor, keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32")).astype("float64")


def near(found, expected, accuracy=1e-5):
    found = keras.ops.convert_to_numpy(keras.ops.cast(found, "float32"))
    np.testing.assert_allclose(found, expected, rtol=accuracy, atol=accuracy)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_mean(dtype):
    tensor, values = drawn(dtype)
    found = float_mean(tensor, (2, 3))
    assert keras.backend.standardize_dtype(found.dtype) == "float32"
    near(found, values.mean((2, 3)))
    near(float_mean(tensor[0], (0, 1)), values[0].mean((0, 1)))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("weights", ["none", "ones", "some"])
def test_sum_over_the_batch(dtype, weights):
    tensor, values = drawn(dtype)
    factors = np.ones(SHAPE[:2], "float32")
    if weights == "some":
        factors[3, 1] = factors[20] = 0.0
        factors[11, 0] = 0.5
    given = None if weights == "none" else keras.ops.convert_to_tensor(factors)
    near(batch_sum(tensor, given), (values * factors[..., None, None, None]).sum(0), 1e-4)


@pytest.mark.parametrize("dtype, accuracy", [("float32", 1e-5), ("bfloat16", 2**-8)])
def test_what_is_added_to_a_gradient(dtype, accuracy):
    tensor, values = drawn(dtype)
    places = SHAPE[2] * SHAPE[3]
    rng = np.random.default_rng(1)
    rows, columns, mean = (
        rng.normal(0, 1, shape).astype("float32")
        for shape in ((23, 2, places, 1), (23, 2, 1, 96), (23, 2, 1, 96))
    )
    shared = rng.normal(0, 1, 96).astype("float32")
    before = keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32"))
    passed = keras.ops.reshape(tensor, (23, 2, places, 96))
    of = keras.ops.convert_to_tensor
    found = collected(passed, [(of(rows), of(columns)), (of(rows), of(shared))], of(mean))
    expected = values.reshape(passed.shape) + rows * columns + rows * shared + mean
    near(found, expected, accuracy)
    # The gradient belongs to who gave it.
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32")), before
    )
