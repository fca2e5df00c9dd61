"""A random part of each image at a fixed size, the augmentation of ImageNet."""

import math

import keras

from keras_staa import _keras, checks


@keras.saving.register_keras_serializable("keras_staa")
class RandomResizedCrop(_keras.DataLayer):
    """Crops a random part of each image and resizes it.

    The area of the part is uniform in `scale`, as a fraction of the image, and the logarithm of its
    aspect ratio is uniform in that of `ratio`. A side that would be longer than the image's is cut
    to it. Each image of a batch gets its own part. Values are interpolated bilinearly. In
    inference it is the central part of the given size.

    Args:
        height: positive integer, of the output.
        width: positive integer, of the output.
        scale: two numbers, `0 < low <= high <= 1`.
        ratio: two positive numbers, `low <= high`: width over height.
        seed: optional integer.

    Input shape: `(batch, H, W, channels)` or `(H, W, channels)`, `H >= height`, `W >= width`.

    Output shape: `(batch, height, width, channels)` or `(height, width, channels)`.

    Example:

    >>> layer = RandomResizedCrop(224, 224)
    >>> tuple(layer(np.ones((2, 256, 256, 3)), training=True).shape)
    (2, 224, 224, 3)

    Reference:
        Szegedy et al., 2015, https://arxiv.org/abs/1409.4842
    """

    def __init__(self, height, width, scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3), seed=None, **kwargs):
        super().__init__(**kwargs)
        self.height = checks.positive_int("height", height)
        self.width = checks.positive_int("width", width)
        self.scale = _range("scale", scale, most=1.0)
        self.ratio = _range("ratio", ratio, most=math.inf)
        self.seed = seed
        self.generator = keras.random.SeedGenerator(seed)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-3], self.height, self.width, input_shape[-1])

    def call(self, images, training=True):
        # Products in bfloat16 take several times as long on most CPUs.
        images = self.backend.cast(images, "float32" if training else self.compute_dtype)
        shape = self.backend.shape(images)
        sides = shape[-3:-1]
        if len(shape) not in (3, 4) or any(
            isinstance(have, int) and have < wanted
            for have, wanted in zip(sides, (self.height, self.width), strict=True)
        ):
            raise ValueError(
                f"Input of layer '{self.name}' must have the shape (batch, height, width, "
                f"channels), at least {self.height} x {self.width}. Received: shape={tuple(shape)}"
            )
        if not training:
            top, left = (sides[0] - self.height) // 2, (sides[1] - self.width) // 2
            return images[..., top : top + self.height, left : left + self.width, :]
        single = len(shape) == 3
        batch = images[None] if single else images
        count, channels = 1 if single else shape[0], shape[-1]
        numpy, (down, across) = self.backend.numpy, self._shares(count, *sides)
        # Two products instead of a gather for each pixel: it is separable, and accelerators are
        # slow at gathers. In this order neither needs its operands transposed.
        moved = numpy.reshape(batch, (count, sides[0], sides[1] * channels))
        moved = numpy.einsum("byk,bhy->bkh", moved, down)
        moved = numpy.reshape(moved, (count, sides[1], channels * self.height))
        moved = numpy.einsum("bwx,bxk->bwk", across, moved)
        moved = numpy.reshape(moved, (count, self.width, channels, self.height))
        moved = self.backend.cast(numpy.transpose(moved, (0, 3, 1, 2)), self.compute_dtype)
        return moved[0] if single else moved

    def _shares(self, count, height, width):
        """Return what share each row of the input has in each row of the output, and of columns."""
        numpy, random = self.backend.numpy, self.backend.random
        seed = _keras.seed_of(self)

        def number(x):
            return self.backend.cast(x, "float32")

        def uniform(low, high):
            return random.uniform((count, 1), low, high, dtype="float32", seed=seed)

        def shares(length, pixels, whole):
            start = (number(whole) - length) * uniform(0.0, 1.0)
            # The centre of a pixel of the output is that of its part of the crop.
            centres = (numpy.arange(pixels, dtype="float32") + 0.5) / pixels
            places = numpy.clip(start + length * centres - 0.5, 0.0, number(whole) - 1)
            distances = places[..., None] - number(numpy.arange(whole))
            return numpy.maximum(1.0 - numpy.abs(distances), 0.0)

        area = number(height) * number(width) * uniform(*self.scale)
        root = numpy.exp(uniform(*map(math.log, self.ratio)) / 2)
        rows = numpy.minimum(numpy.sqrt(area) / root, number(height))
        columns = numpy.minimum(numpy.sqrt(area) * root, number(width))
        return shares(rows, self.height, height), shares(columns, self.width, width)

    def get_config(self):
        config = {"height": self.height, "width": self.width, "scale": self.scale}
        return {**super().get_config(), **config, "ratio": self.ratio, "seed": self.seed}


def _range(name, value, most):
    good = isinstance(value, (tuple, list)) and len(value) == 2
    if not good or not 0 < checks.positive(name, value[0]) <= value[1] <= most:
        raise ValueError(
            f"`{name}` must be two numbers, 0 < low <= high <= {most}. Received: {name}={value!r}"
        )
    return tuple(map(float, value))
