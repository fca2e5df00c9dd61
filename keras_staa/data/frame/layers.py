"""Layers that change frames of events, drawn anew for every sample and alike for all its steps.

The layers of Keras take images, and draw from a variable that the threads of a data set would race
for. These take `(batch, steps, height, width, channels)`. They work inside a model like any layer,
and `keras_staa.data.events` runs them in NumPy, with draws that follow from its seed. They move
counts and do not interpolate between them, so that counts stay whole numbers.
"""

import math

import keras

from keras_staa import _keras, checks
from keras_staa.data.frame.base import FrameLayer, gathered, picked, ranged, whole


@keras.saving.register_keras_serializable("keras_staa")
class FrameFlip(FrameLayer):
    """Mirrors half of the samples left to right.

    Args:
        seed: optional integer.

    Input and output shape: `(batch, steps, height, width, channels)`.

    Example:

    >>> frames = np.arange(6.0).reshape(1, 1, 1, 3, 2)
    >>> flipped = FrameFlip(seed=1)(np.repeat(frames, 20, 0))
    >>> np.unique(keras.ops.convert_to_numpy(flipped)[:, 0, 0, :, 0], axis=0).tolist()
    [[0.0, 2.0, 4.0], [4.0, 2.0, 0.0]]
    """

    def change(self, backend, frames, labels, seed):
        draws = backend.random.uniform((backend.shape(frames)[0], 1, 1, 1, 1), seed=seed)
        mirrored = backend.numpy.flip(frames, axis=3)
        return backend.numpy.where(draws < 0.5, mirrored, frames), labels


@keras.saving.register_keras_serializable("keras_staa")
class FrameRoll(FrameLayer):
    """Shifts each sample by whole pixels; what leaves at one side comes back at the other.

    Args:
        pixels: positive integer, the largest shift. All shifts up to it are equally likely, in
            either direction and on each axis by itself.
        seed: optional integer.

    Input and output shape: `(batch, steps, height, width, channels)`.

    Example:

    >>> rolled = FrameRoll(pixels=2, seed=1)(np.eye(8).reshape(1, 1, 8, 8, 1))
    >>> float(keras.ops.sum(rolled))
    8.0

    Reference:
        Li et al., Neuromorphic Data Augmentation for Training Spiking Neural Networks, 2022,
        https://arxiv.org/abs/2203.06145
    """

    def __init__(self, pixels=4, seed=None, **kwargs):
        super().__init__(seed, **kwargs)
        self.pixels = checks.positive_int("pixels", pixels)

    def change(self, backend, frames, labels, seed):
        batch, _, height, width, _ = backend.shape(frames)
        down, right = (whole(backend, batch, self.pixels, seed) for _ in range(2))
        y = (ranged(backend, height)[None, :, None] - down) % height
        x = (ranged(backend, width)[None, None, :] - right) % width
        return picked(backend, frames, y * width + x), labels

    def get_config(self):
        return {**super().get_config(), "pixels": self.pixels}


@keras.saving.register_keras_serializable("keras_staa")
class FrameRotation(FrameLayer):
    """Rotates each sample about its centre, to the nearest pixel; what is not known is 0.

    Args:
        degrees: positive number up to 180. All angles up to it are equally likely, in either
            direction.
        seed: optional integer.

    Input and output shape: `(batch, steps, height, width, channels)`.

    Example:

    >>> turned = FrameRotation(degrees=30, seed=1)(np.ones((2, 4, 8, 8, 2)))
    >>> np.unique(keras.ops.convert_to_numpy(turned)).tolist()
    [0.0, 1.0]
    """

    def __init__(self, degrees=15, seed=None, **kwargs):
        super().__init__(seed, **kwargs)
        self.degrees = checks.positive("degrees", degrees)
        if self.degrees > 180:
            raise ValueError(f"`degrees` must be at most 180. Received: degrees={degrees}")

    def change(self, backend, frames, labels, seed):
        numpy = backend.numpy
        batch, _, height, width, _ = backend.shape(frames)
        most = math.radians(self.degrees)
        angle = backend.random.uniform((batch, 1, 1), -most, most, seed=seed)
        sine, cosine = numpy.sin(angle), numpy.cos(angle)
        half_y = backend.cast(height - 1, "float32") / 2
        half_x = backend.cast(width - 1, "float32") / 2
        y = backend.cast(ranged(backend, height), "float32")[None, :, None] - half_y
        x = backend.cast(ranged(backend, width), "float32")[None, None, :] - half_x
        row = backend.cast(numpy.round(half_y + cosine * y - sine * x), "int32")
        column = backend.cast(numpy.round(half_x + sine * y + cosine * x), "int32")
        known = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        turned = picked(backend, frames, numpy.where(known, row * width + column, 0))
        return numpy.where(known[:, None, :, :, None], turned, numpy.zeros_like(turned)), labels

    def get_config(self):
        return {**super().get_config(), "degrees": self.degrees}


@keras.saving.register_keras_serializable("keras_staa")
class FrameCutout(FrameLayer):
    """Empties one square of each sample, at the same place in all its steps.

    The centre is uniform over the frame, so the square may pass the border.

    Args:
        size: positive integer, the side of the square in pixels.
        seed: optional integer.

    Input and output shape: `(batch, steps, height, width, channels)`.

    Example:

    >>> frames = FrameCutout(size=2, seed=1)(np.ones((1, 3, 8, 8, 2)))
    >>> 0 < float(keras.ops.sum(1 - frames)) <= 3 * 4 * 2
    True
    """

    def __init__(self, size=8, seed=None, **kwargs):
        super().__init__(seed, **kwargs)
        self.size = checks.positive_int("size", size)

    def change(self, backend, frames, labels, seed):
        batch, _, height, width, _ = backend.shape(frames)
        rows, columns = (self._inside(backend, batch, n, seed) for n in (height, width))
        square = (rows[:, :, None] & columns[:, None, :])[:, None, :, :, None]
        return backend.numpy.where(square, backend.numpy.zeros_like(frames), frames), labels

    def _inside(self, backend, batch, side, seed):
        """Which coordinates of an axis lie in the square: (batch, side)."""
        draws = backend.random.uniform((batch, 1), seed=seed) * backend.cast(side, "float32")
        start = backend.cast(backend.numpy.floor(draws), "int32") - self.size // 2
        at = ranged(backend, side)[None]
        return (at >= start) & (at < start + self.size)

    def get_config(self):
        return {**super().get_config(), "size": self.size}


@keras.saving.register_keras_serializable("keras_staa")
class TimeShift(FrameLayer):
    """Moves each sample forth or back by whole steps; the steps that become free are empty.

    Args:
        steps: positive integer, the largest shift. All shifts up to it are equally likely.
        seed: optional integer.

    Input and output shape: `(batch, steps, height, width, channels)`.

    Example:

    >>> frames = np.arange(1.0, 5).reshape(1, 4, 1, 1, 1)
    >>> shifted = TimeShift(steps=1, seed=1)(np.repeat(frames, 20, 0))
    >>> np.unique(keras.ops.convert_to_numpy(shifted)[..., 0, 0, 0], axis=0).tolist()
    [[0.0, 1.0, 2.0, 3.0], [1.0, 2.0, 3.0, 4.0], [2.0, 3.0, 4.0, 0.0]]
    """

    def __init__(self, steps=1, seed=None, **kwargs):
        super().__init__(seed, **kwargs)
        self.steps = checks.positive_int("steps", steps)

    def change(self, backend, frames, labels, seed):
        numpy = backend.numpy
        batch, steps = backend.shape(frames)[:2]
        shift = whole(backend, batch, self.steps, seed)[:, :, 0]
        source = ranged(backend, steps)[None] - shift
        known = (source >= 0) & (source < steps)
        places = ranged(backend, batch)[:, None] * steps + numpy.where(known, source, 0)
        moved = gathered(backend, frames, places, axes=3)
        known = known[:, :, None, None, None]
        return numpy.where(known, moved, numpy.zeros_like(moved)), labels

    def get_config(self):
        return {**super().get_config(), "steps": self.steps}


@keras.saving.register_keras_serializable("keras_staa")
class FrameMixUp(FrameLayer):
    """Mixes each sample, and its label, with another one of the batch.

    Args:
        alpha: positive number. The share of a sample is drawn from Beta(alpha, alpha).
        seed: optional integer.

    Input and output: a dictionary with `"frames"` `(batch, steps, height, width, channels)` and
    float `"labels"` `(batch, classes)`. In inference the layer is the identity.

    Example:

    >>> batch = {"frames": np.ones((4, 2, 3, 3, 2)), "labels": np.eye(4)}
    >>> mixed = FrameMixUp(alpha=0.5, seed=1)(batch, training=True)
    >>> tuple(mixed["labels"].shape)
    (4, 4)

    Reference:
        Zhang et al., mixup: Beyond Empirical Risk Minimization, 2018,
        https://arxiv.org/abs/1710.09412
    """

    moves = False

    def __init__(self, alpha=0.2, seed=None, **kwargs):
        super().__init__(seed, **kwargs)
        self.alpha = checks.positive("alpha", alpha)

    def call(self, inputs, training=True):
        if not isinstance(inputs, dict) or set(inputs) != {"frames", "labels"}:
            raise ValueError(
                f"Input of layer '{self.name}' must be a dictionary with 'frames' and 'labels'. "
                f"Received: {type(inputs).__name__}"
            )
        if not training:
            return inputs
        frames, labels = (
            self.backend.cast(inputs[name], self.compute_dtype) for name in ("frames", "labels")
        )
        seed = _keras.seed_of(self)
        frames, labels = self.change(self.backend, frames, labels, seed)
        return {"frames": frames, "labels": labels}

    def change(self, backend, frames, labels, seed):
        numpy = backend.numpy
        batch = backend.shape(frames)[0]
        other = numpy.argsort(backend.random.uniform((batch,), seed=seed))
        share = backend.random.beta((batch, 1), self.alpha, self.alpha, seed=seed)
        mixed = []
        for values, own in ((frames, share[:, :, None, None, None]), (labels, share)):
            values = backend.cast(values, "float32")
            mixed.append(own * values + (1 - own) * numpy.take(values, other, axis=0))
        return mixed[0], mixed[1]

    def get_config(self):
        return {**super().get_config(), "alpha": self.alpha}
