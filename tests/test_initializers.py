"""Start values: against Keras's own initializer, and the same on every backend."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_staa import STAAVGG
from keras_staa.initializers import Constant, VarianceScaling

SHAPES = [(3, 3, 64, 96), (200, 150), (20000,)]
KINDS = [
    (mode, distribution)
    for mode in ("fan_in", "fan_out", "fan_avg")
    for distribution in ("uniform", "untruncated_normal", "truncated_normal")
]


@pytest.mark.parametrize(("mode", "distribution"), KINDS)
def test_draws_from_the_distribution_of_keras(mode, distribution):
    for shape in SHAPES:
        arguments = {"scale": 2.0, "mode": mode, "distribution": distribution, "seed": 3}
        got = ops.convert_to_numpy(VarianceScaling(**arguments)(shape))
        wanted = ops.convert_to_numpy(keras.initializers.VarianceScaling(**arguments)(shape))
        assert got.dtype == np.float32
        scale = wanted.std()
        quantiles = np.linspace(0.05, 0.95, 19)
        np.testing.assert_allclose(
            np.quantile(got, quantiles) / scale, np.quantile(wanted, quantiles) / scale, atol=0.06
        )
        if distribution != "untruncated_normal":
            np.testing.assert_allclose(abs(got).max(), abs(wanted).max(), rtol=2e-2)


def test_a_seed_gives_the_same_weights_on_every_backend():
    # Drawn once with NumPy alone: default_rng(7).standard_normal(3) / sqrt(fan).
    values = VarianceScaling(1.0, "fan_in", "untruncated_normal", seed=7)((1, 3))
    expected = [[0.0012301, 0.2987455, -0.2741378]]
    np.testing.assert_allclose(ops.convert_to_numpy(values), expected, atol=1e-6)


def test_a_seed_generator_advances():
    draw = VarianceScaling(seed=keras.random.SeedGenerator(1))
    first, second = (ops.convert_to_numpy(draw((4, 4))) for _ in range(2))
    assert (first != second).all()


def test_the_random_seed_of_keras_fixes_a_network():
    def kernels():
        keras.utils.set_random_seed(5)
        return STAAVGG(width=4, input_shape=(32, 32, 3)).get_weights()

    for first, second in zip(kernels(), kernels(), strict=True):
        np.testing.assert_array_equal(first, second)


def test_low_precision_and_configuration():
    draw = VarianceScaling(1.0, "fan_avg", "uniform", seed=2)
    again = keras.initializers.deserialize(keras.initializers.serialize(draw))
    assert type(again) is VarianceScaling
    low = again((8, 8), dtype="bfloat16")
    assert keras.backend.standardize_dtype(low.dtype) == "bfloat16"
    np.testing.assert_allclose(
        ops.convert_to_numpy(ops.cast(low, "float32")),
        ops.convert_to_numpy(draw((8, 8))),
        rtol=8e-3,
    )


@pytest.mark.parametrize("dtype", [None, "bfloat16"])
def test_a_constant_is_that_of_keras(dtype):
    made = (c(0.3) for c in (Constant, keras.initializers.Constant))
    got, wanted = (initializer((2, 3), dtype) for initializer in made)
    assert keras.backend.standardize_dtype(got.dtype) == (dtype or "float32")
    got, wanted = (ops.convert_to_numpy(ops.cast(v, "float32")) for v in (got, wanted))
    np.testing.assert_array_equal(got, wanted)
