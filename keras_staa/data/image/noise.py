"""Random noise, drawn anew for every image of a batch."""

import keras

from keras_staa import _keras, checks


@keras.saving.register_keras_serializable("keras_staa")
class RandomGaussianNoise(_keras.DataLayer):
    """Adds Gaussian noise of a random deviation to each image.

    The deviation is uniform in `stddev` and drawn for each image. Results are clipped to
    `value_range`, as those of a camera are. `keras.layers.GaussianNoise` has one deviation for all
    images and does not clip. In inference the layer is the identity.

    Args:
        stddev: number, or two numbers `0 <= low <= high`: the deviation, in units of the images.
            One number stands for `(0, stddev)`.
        rate: number in [0, 1], the share of the images that get noise.
        value_range: two numbers, the least and the largest value of the images.
        seed: optional integer.

    Input and output shape: `(batch, height, width, channels)` or `(height, width, channels)`.

    Raises:
        ValueError: for an argument that is not allowed, or an input of another rank.

    Example:

    >>> layer = RandomGaussianNoise(0.1, seed=1)
    >>> noisy = layer(np.full((2, 8, 8, 3), 0.5), training=True)
    >>> 0.0 < float(keras.ops.std(noisy)) < 0.1
    True
    """

    def __init__(self, stddev=0.1, rate=1.0, value_range=(0.0, 1.0), seed=None, **kwargs):
        super().__init__(**kwargs)
        pair = stddev if isinstance(stddev, (tuple, list)) else (0.0, stddev)
        self.stddev = checks.bounds("stddev", pair, least=0.0)
        self.rate = checks.fraction("rate", rate)
        self.value_range = checks.bounds("value_range", value_range)
        self.seed = seed
        self.generator = keras.random.SeedGenerator(seed)

    def compute_output_shape(self, input_shape):
        return input_shape

    def call(self, images, training=True):
        images = self.backend.cast(images, self.compute_dtype)
        if not training:
            return images
        shape = image_shape(self, images)
        seed, dtype = _keras.seed_of(self), images.dtype
        each = (*shape[:-3], 1, 1, 1)
        deviation = self.backend.random.uniform(each, *self.stddev, dtype=dtype, seed=seed)
        noise = self.backend.random.normal(shape, dtype=dtype, seed=seed)
        noisy = self.backend.numpy.clip(images + deviation * noise, *self.value_range)
        return some(self, self.rate, noisy, images)

    def get_config(self):
        config = {"stddev": self.stddev, "rate": self.rate, "value_range": self.value_range}
        return {**super().get_config(), **config, "seed": self.seed}


def image_shape(layer, images):
    """Return the shape of images or of one image; other ranks are an error."""
    shape = layer.backend.shape(images)
    if len(shape) not in (3, 4):
        raise ValueError(
            f"Input of layer '{layer.name}' must have rank 3 (height, width, channels) or 4 (with "
            f"a batch). Received: shape={tuple(shape)}"
        )
    return shape


def some(layer, rate, changed, images):
    """Return the changed images in the place of a share of the images, drawn for each."""
    if rate == 1.0:
        return changed
    each = (*layer.backend.shape(images)[:-3], 1, 1, 1)
    drawn = layer.backend.random.uniform(each, dtype="float32", seed=_keras.seed_of(layer))
    return layer.backend.numpy.where(drawn < rate, changed, images)
