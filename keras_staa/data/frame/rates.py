"""Layers that change how many events a sample has, and not where they are."""

import math

import keras

from keras_staa import checks
from keras_staa.data.frame.base import FrameLayer


@keras.saving.register_keras_serializable("keras_staa")
class FrameDrop(FrameLayer):
    """Drops a share of the events of each sample, so that classes are not told by their number.

    A count n of which the share s is dropped becomes `n * (1 - s)`, rounded up or down at random
    such that this is its mean. For a single event it is the random drop of EventDrop.

    Args:
        share: float in (0, 1), the largest share. All shares up to it are equally likely.
        seed: optional integer.

    Input and output shape: `(batch, steps, height, width, channels)`.

    Example:

    >>> frames = FrameDrop(share=0.5, seed=1)(np.ones((1, 4, 50, 50, 2)))
    >>> np.unique(keras.ops.convert_to_numpy(frames)).tolist()
    [0.0, 1.0]
    >>> 0.48 < float(keras.ops.mean(frames)) <= 1
    True

    Reference:
        Gu et al., EventDrop: Data Augmentation for Event-based Learning, 2021,
        https://arxiv.org/abs/2106.05836
    """

    moves = False

    def __init__(self, share=0.5, seed=None, **kwargs):
        super().__init__(seed, **kwargs)
        self.share = checks.positive("share", share)
        if self.share >= 1:
            raise ValueError(f"`share` must be less than 1. Received: share={share}")

    def change(self, backend, frames, labels, seed):
        counts, shape = backend.cast(frames, "float32"), backend.shape(frames)
        dropped = backend.random.uniform((shape[0], 1, 1, 1, 1), 0.0, self.share, seed=seed)
        draws = backend.random.uniform(shape, seed=seed)
        # No draw rounds a count up that is not dropped from.
        left = backend.numpy.minimum(backend.numpy.floor(counts * (1 - dropped) + draws), counts)
        return backend.cast(left, frames.dtype), labels

    def get_config(self):
        return {**super().get_config(), "share": self.share}


@keras.saving.register_keras_serializable("keras_staa")
class FrameScale(FrameLayer):
    """Multiplies the counts of each sample by a factor.

    How many events a camera gives depends on light, contrast and speed, and on its thresholds. A
    network that was trained with this layer relies less on their number, and more on where they
    are.

    Args:
        factor: float greater than 1, the largest factor. The logarithm of a sample's factor is
            uniform between those of `1 / factor` and `factor`.
        seed: optional integer.

    Input and output shape: `(batch, steps, height, width, channels)`.

    Example:

    >>> frames = FrameScale(factor=4.0, seed=1)(np.ones((8, 1, 2, 2, 2)))
    >>> bool(keras.ops.min(frames) > 0.25) and bool(keras.ops.max(frames) < 4)
    True
    """

    moves = False

    def __init__(self, factor=4.0, seed=None, **kwargs):
        super().__init__(seed, **kwargs)
        self.factor = checks.positive("factor", factor)
        if self.factor <= 1:
            raise ValueError(f"`factor` must be greater than 1. Received: factor={factor}")

    def change(self, backend, frames, labels, seed):
        most, shape = math.log(self.factor), backend.shape(frames)
        exponents = backend.random.uniform((shape[0], 1, 1, 1, 1), -most, most, seed=seed)
        scaled = backend.cast(frames, "float32") * backend.numpy.exp(exponents)
        dtype = keras.backend.standardize_dtype(frames.dtype)
        # Counts that are whole numbers are none any more.
        dtype = dtype if keras.backend.is_float_dtype(dtype) else "float32"
        return backend.cast(scaled, dtype), labels

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}
