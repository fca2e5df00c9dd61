"""JPEG compression as a layer: its losses, without the files."""

import keras
import numpy as np

from keras_staa import _keras, checks
from keras_staa.data.image.noise import image_shape, some

# Tables K.1 and K.2 of the standard, which encoders scale by the quality: brightness, color.
BRIGHTNESS = """
16 11 10 16 24 40 51 61
12 12 14 19 26 58 60 55
14 13 16 24 40 57 69 56
14 17 22 29 51 87 80 62
18 22 37 56 68 109 103 77
24 35 55 64 81 104 113 92
49 64 78 87 103 121 120 101
72 92 95 98 112 100 103 99
"""
COLOR = """
17 18 24 47 99 99 99 99
18 21 26 66 99 99 99 99
24 26 56 99 99 99 99 99
47 66 99 99 99 99 99 99
99 99 99 99 99 99 99 99
99 99 99 99 99 99 99 99
99 99 99 99 99 99 99 99
99 99 99 99 99 99 99 99
"""
# Rows: brightness, blue against it, red against it.
TO_YCC = np.array(
    [[0.299, 0.587, 0.114], [-0.168735892, -0.331264108, 0.5], [0.5, -0.418687589, -0.081312411]],
    "float32",
)
TO_RGB = np.array([[1, 0, 1.402], [1, -0.344136286, -0.714136286], [1, 1.772, 0]], "float32")


@keras.saving.register_keras_serializable("keras_staa")
class RandomJPEG(_keras.DataLayer):
    """Compresses each image as JPEG at a random quality, and decodes it.

    What a file would lose is computed: colors at half the resolution, and the coefficients of
    blocks of 8 x 8 pixels rounded by the tables of the standard. There is no file, so the layer
    runs on all backends, on accelerators and inside of compiled training steps. Pixels differ by
    less than one of 255 steps on average from those that Pillow gives. In inference the layer is
    the identity.

    Args:
        quality: two integers, `1 <= low <= high <= 100`, as in Pillow: 100 is the best. The quality
            of each image is uniform between them.
        rate: number in [0, 1], the share of the images that are compressed.
        seed: optional integer.

    Input shape: `(batch, height, width, channels)` or `(height, width, channels)`, values in
    [0, 1], 1 channel or 3 (RGB).

    Output shape: that of the input.

    Raises:
        ValueError: for an argument that is not allowed, or an input of another rank or with other
            channels.

    Example:

    >>> layer = RandomJPEG((30, 90), seed=1)
    >>> tuple(layer(np.random.rand(2, 32, 32, 3), training=True).shape)
    (2, 32, 32, 3)

    Reference:
        ITU-T T.81, https://www.w3.org/Graphics/JPEG/itu-t81.pdf
    """

    def __init__(self, quality=(30, 100), rate=1.0, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.quality = tuple(map(int, checks.bounds("quality", quality, 1, 100)))
        self.rate = checks.fraction("rate", rate)
        self.seed = seed
        self.generator = keras.random.SeedGenerator(seed)

    def compute_output_shape(self, input_shape):
        return input_shape

    def call(self, images, training=True):
        images = self.backend.cast(images, self.compute_dtype)
        if not training:
            return images
        shape = image_shape(self, images)
        if shape[-1] not in (1, 3):
            raise ValueError(
                f"Input of layer '{self.name}' must have 1 channel or 3. Received: "
                f"shape={tuple(shape)}"
            )
        batch = images[None] if len(shape) == 3 else images
        low, high = self.quality
        quality = self.backend.random.randint(
            self.backend.shape(batch)[:1], low, high + 1, seed=_keras.seed_of(self)
        )
        # Steps of 1 in 255 are more than bfloat16 has.
        pixels = self.backend.cast(batch, "float32") * 255.0
        found = _compressed(self.backend, pixels, self.backend.cast(quality, "float32"))
        found = self.backend.cast(found / 255.0, images.dtype)
        return some(self, self.rate, found[0] if len(shape) == 3 else found, images)

    def get_config(self):
        config = {"quality": self.quality, "rate": self.rate, "seed": self.seed}
        return {**super().get_config(), **config}


def _compressed(backend, pixels, quality):
    """Compress pixels (B, H, W, C), values of 0 to 255, at qualities (B,), both float32."""
    numpy = backend.numpy
    _, height, width, channels = backend.shape(pixels)
    pixels = _filled(backend, numpy.round(pixels), 8 if channels == 1 else 16)
    scale = numpy.where(quality < 50.0, numpy.floor(5000.0 / quality), 200.0 - 2.0 * quality)
    if channels == 1:
        found = _rounded_blocks(backend, pixels[..., 0] - 128.0, scale, BRIGHTNESS)[..., None]
        found = found + 128.0
    else:
        bright, *colors = (
            numpy.round(numpy.tensordot(pixels, row, 1) - level)
            for row, level in zip(TO_YCC, (128.0, 0.0, 0.0), strict=True)
        )
        parts = [_rounded_blocks(backend, bright, scale, BRIGHTNESS) + 128.0]
        for part in colors:
            part = _rounded_blocks(backend, _halved(backend, part), scale, COLOR)
            parts.append(numpy.round(_doubled(backend, _doubled(backend, part, 1), 2)))
        found = numpy.tensordot(numpy.stack(parts, axis=-1), TO_RGB.T, 1)
    return numpy.clip(numpy.round(found), 0.0, 255.0)[:, :height, :width]


def _filled(backend, pixels, multiple):
    """Repeat the last row and column until both sides are multiples."""
    for axis in (1, 2):
        size = backend.shape(pixels)[axis]
        if not isinstance(size, int) or size % multiple:
            whole = (size + multiple - 1) // multiple * multiple
            places = backend.numpy.minimum(backend.numpy.arange(whole, dtype="int32"), size - 1)
            pixels = backend.numpy.take(pixels, places, axis=axis)
    return pixels


def _rounded_blocks(backend, plane, scale, table):
    """Round the coefficients of the blocks of planes (B, H, W), values of -128 to 127."""
    numpy, (_, height, width) = backend.numpy, backend.shape(plane)
    table = backend.convert_to_tensor(np.array(table.split(), "float32"))
    divisors = numpy.clip(numpy.floor((table * scale[:, None] + 50.0) / 100.0), 1.0, 255.0)
    blocks = numpy.reshape(plane, (-1, height // 8, 8, width // 8, 8))
    blocks = numpy.reshape(numpy.transpose(blocks, (0, 1, 3, 2, 4)), (-1, height * width // 64, 64))
    found = numpy.matmul(blocks, COSINES.T)
    # Halves are away from 0, as encoders round them, and not to the even number.
    steps = found / divisors[:, None]
    steps = numpy.sign(steps) * numpy.floor(numpy.abs(steps) + 0.5)
    found = steps * divisors[:, None]
    blocks = numpy.reshape(numpy.matmul(found, COSINES), (-1, height // 8, width // 8, 8, 8))
    plane = numpy.reshape(numpy.transpose(blocks, (0, 1, 3, 2, 4)), (-1, height, width))
    return numpy.clip(numpy.round(plane), -128.0, 127.0)


def _halved(backend, plane):
    """Return the means of two by two places of planes (B, H, W)."""
    numpy, (_, height, width) = backend.numpy, backend.shape(plane)
    parts = numpy.reshape(plane, (-1, height // 2, 2, width // 2, 2))
    # Halves are up at every other place and down between, as in libjpeg.
    up = 0.25 + 0.25 * backend.cast(numpy.arange(width // 2, dtype="int32") % 2, "float32")
    return numpy.floor(numpy.mean(parts, axis=(2, 4)) + up)


def _doubled(backend, plane, axis):
    """Return planes (B, H, W) with twice the places of an axis, each between the two nearest."""
    numpy, size = backend.numpy, backend.shape(plane)[axis]
    first, last = (plane[:, :1], plane[:, -1:]) if axis == 1 else (plane[..., :1], plane[..., -1:])
    before = numpy.concatenate([first, plane], axis=axis)
    behind = numpy.concatenate([plane, last], axis=axis)
    before, behind = (
        (before[:, :size], behind[:, 1:]) if axis == 1 else (before[..., :size], behind[..., 1:])
    )
    parts = numpy.stack([0.75 * plane + 0.25 * near for near in (before, behind)], axis=axis + 1)
    shape = list(backend.shape(plane))
    shape[axis] = 2 * size
    return numpy.reshape(parts, (-1, *shape[1:]))


def _cosines():
    """Return the orthogonal matrix (64, 64) of the discrete cosine transform of a block."""
    frequencies, places = np.arange(8)[:, None], np.arange(8) + 0.5
    matrix = np.cos(np.pi / 8 * frequencies * places) / 2
    matrix[0] /= np.sqrt(2)
    return np.kron(matrix, matrix).astype("float32")


COSINES = _cosines()
