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


@keras.saving.register_keras_serializable("keras_staa")
class Paired(keras.initializers.Initializer):
    """A dense kernel of units in pairs: two neighbors have the same weights.

    With `Alternating` in the layer behind it, both layers together start as zero, and every weight
    has a gradient.

    Args:
        seed: integer, or None.

    Example:

    >>> values = keras.ops.convert_to_numpy(Paired()((3, 4)))
    >>> bool((values[:, ::2] == values[:, 1::2]).all())
    True
    """

    def __init__(self, seed=None):
        self.seed = seed

    def __call__(self, shape, dtype=None):
        *rest, units = shape
        half = ops.convert_to_numpy(glorot_uniform(self.seed)((*rest, -(-units // 2)), "float32"))
        values = np.repeat(half, 2, axis=-1)[..., :units]
        return ops.cast(values, dtype or keras.config.floatx())

    def get_config(self):
        return {"seed": self.seed}


@keras.saving.register_keras_serializable("keras_staa")
class Alternating(keras.initializers.Initializer):
    """A kernel (units, ...) of a value and its negative in turns, and 0 for a unit without a pair.

    Args:
        value: a number; the products of a power of two are exact, so that pairs cancel exactly.

    Example:

    >>> [float(value) for value in Alternating(0.5)((3, 1))[:, 0]]
    [0.5, -0.5, 0.0]
    """

    def __init__(self, value):
        self.value = value

    def __call__(self, shape, dtype=None):
        signs = np.zeros(shape[0])
        paired = shape[0] // 2 * 2
        signs[:paired:2], signs[1:paired:2] = 1, -1
        values = np.broadcast_to(signs.reshape(-1, *[1] * (len(shape) - 1)), shape) * self.value
        return ops.cast(values.astype("float32"), dtype or keras.config.floatx())

    def get_config(self):
        return {"value": self.value}


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
