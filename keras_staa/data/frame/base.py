"""What the layers for frames share: they run on a backend, or in NumPy without one."""

import keras
import numpy as np

# Not exported, but the path Keras' documentation gives for layers that also run in tf.data.
from keras_staa import _keras, checks


class FrameLayer(_keras.DataLayer):
    """A layer for frames; its `change` is written once for backends and NumPy.

    Attributes:
        moves: boolean, whether each pixel of the output is one of the input's, or empty.
    """

    moves = True

    def __init__(self, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.seed = seed
        self.generator = keras.random.SeedGenerator(seed)

    def compute_output_shape(self, input_shape):
        return input_shape

    def call(self, frames, training=True):
        frames = self.backend.cast(frames, self.compute_dtype)
        checks.input_shape(self, frames.shape, "bthwc")
        if not training:
            return frames
        seed = _keras.seed_of(self)
        return self.change(self.backend, frames, None, seed)[0]

    def change(self, backend, frames, labels, seed):
        """Return the changed frames and labels.

        Args:
            backend: a backend of Keras, or `NUMPY`.
            frames: array or tensor `(batch, steps, height, width, channels)`.
            labels: array or tensor `(batch, classes)`, or what else is to be passed on.
            seed: what the backend draws from.
        """
        raise NotImplementedError

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}


class _Random:
    """The part of a backend's random numbers that the layers use."""

    @staticmethod
    def uniform(shape, minval=0.0, maxval=1.0, seed=None):
        return seed.uniform(minval, maxval, shape).astype("float32")

    @staticmethod
    def beta(shape, alpha, beta, seed=None):
        return seed.beta(alpha, beta, shape).astype("float32")


class NUMPY:
    """NumPy in the form of a backend; a seed is a `numpy.random.Generator`."""

    numpy = np
    random = _Random

    @staticmethod
    def cast(values, dtype):
        return np.asarray(values).astype(dtype)

    @staticmethod
    def shape(values):
        return values.shape


def ranged(backend, size):
    """Return the integers from 0 on."""
    return backend.numpy.arange(size, dtype="int32")


def whole(backend, batch, most, seed):
    """Whole numbers in [-most, most], all equally likely: (batch, 1, 1)."""
    draws = backend.random.uniform((batch, 1, 1), seed=seed) * (2 * most + 1)
    # A draw that rounding took to the upper end would be one more.
    floor = backend.numpy.minimum(backend.numpy.floor(draws), 2 * most)
    return backend.cast(floor, "int32") - most


def gathered(backend, frames, places, axes):
    """Parts of frames, such as pixels, from their places among all there are.

    Args:
        backend: a backend of Keras, or `NUMPY`.
        frames: array or tensor `(batch, steps, height, width, channels)`.
        places: integers, as many as there are parts.
        axes: how many of the last axes of `frames` make a part.

    Returns:
        As `frames`.
    """
    numpy, shape = backend.numpy, backend.shape(frames)
    flat = numpy.reshape(frames, (-1, *shape[-axes:]))
    return numpy.reshape(numpy.take(flat, numpy.reshape(places, (-1,)), axis=0), shape)


def picked(backend, frames, source):
    """Each pixel from its source, a place in the frame: source is (batch, height, width)."""
    numpy = backend.numpy
    batch, steps, height, width, _ = backend.shape(frames)
    first = ranged(backend, batch * steps) * (height * width)
    first = numpy.reshape(first, (batch, steps, 1))
    places = first + numpy.reshape(source, (batch, 1, height * width))
    return gathered(backend, frames, places, axes=1)
