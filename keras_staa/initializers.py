"""Start values of weights."""

import math

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable("keras_staa")
class VarianceScaling(keras.initializers.VarianceScaling):
    """`keras.initializers.VarianceScaling`, drawn by NumPy whatever the backend.

    A seed gives the same weights on every backend. And a network is made at once: JAX compiles a
    program for each shape that it draws itself, 6 of the 7 seconds that making a STAAVGG took.

    Args:
        scale, mode, distribution, seed: as in `keras.initializers.VarianceScaling`.

    Example:

    >>> draw = VarianceScaling(1.0, "fan_out", "untruncated_normal", seed=1)
    >>> values = keras.ops.convert_to_numpy(draw((3, 3, 64, 128)))
    >>> bool(abs(values.std() - (1 / (9 * 128)) ** 0.5) < 1e-4)
    True
    """

    def __call__(self, shape, dtype=None):
        fan_in, fan_out = _fans(tuple(shape))
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        deviation = math.sqrt(self.scale / max(1.0, fan))
        values = deviation * _DRAWS[self.distribution](_generator(self.seed), shape)
        # One conversion to float32 first: NumPy does not know bfloat16.
        return ops.cast(values.astype("float32"), dtype or keras.config.floatx())


@keras.saving.register_keras_serializable("keras_staa")
class Constant(keras.initializers.Constant):
    """`keras.initializers.Constant`, made by NumPy: JAX compiles a program for each shape else.

    Args:
        value: a number.

    Example:

    >>> [float(value) for value in Constant(0.5)((2,))]
    [0.5, 0.5]
    """

    def __call__(self, shape, dtype=None):
        values = np.full(shape, self.value, "float32")
        return ops.cast(values, dtype or keras.config.floatx())


ZEROS, ONES = Constant(0.0), Constant(1.0)


def glorot_uniform(seed=None):
    """Return the usual start of a dense kernel, that of `keras.initializers.GlorotUniform`."""
    return VarianceScaling(1.0, "fan_avg", "uniform", seed)


def _generator(seed):
    if isinstance(seed, keras.random.SeedGenerator):
        seed = ops.convert_to_numpy(seed.next()).tolist()
    return np.random.default_rng(seed)


def _uniform(generator, shape):
    return generator.uniform(-math.sqrt(3), math.sqrt(3), shape)


def _normal(generator, shape):
    return generator.standard_normal(shape)


def _truncated_normal(generator, shape):
    values = _normal(generator, shape)
    while (outside := np.abs(values) > 2).any():
        values[outside] = _normal(generator, int(outside.sum()))
    return values / 0.87962566103423978  # The deviation that is left.


_DRAWS = {
    "uniform": _uniform,
    "untruncated_normal": _normal,
    "truncated_normal": _truncated_normal,
}


def _fans(shape):
    """Return inputs and outputs of one unit of a dense or convolution kernel."""
    if len(shape) < 2:
        size = shape[0] if shape else 1
        return size, size
    receptive = math.prod(shape[:-2])
    return receptive * shape[-2], receptive * shape[-1]
