"""Augmentation of images in [0, 1], drawn anew for every image of a batch.

Keras' own layers serve wherever each image gets its own draw. Those that draw once a batch
(`keras.layers.RandomCrop`; `keras.layers.RandAugment` in its choice of operation) or cannot do
what is meant (`keras.layers.RandomErasing` never passes the border) are replaced here. All are
ordinary layers: they work in a `tf.data` pipeline whatever the backend, and inside a model.
"""

import keras
import numpy as np

from keras_staa import _keras, checks
from keras_staa.data.image.noise import image_shape
from keras_staa.data.pipelines import Pipeline


@keras.saving.register_keras_serializable("keras_staa")
class Cutout(_keras.DataLayer):
    """Sets one square of each image to a constant, at a place drawn for each image.

    The centre is uniform over the image, so the square may pass the border and then shows only in
    part. `keras.layers.RandomErasing` draws size and aspect ratio as well and keeps the rectangle
    inside. In inference the layer is the identity.

    Args:
        size: positive integer, the side of the square in pixels.
        fill_value: float, the value of the square's pixels.
        seed: optional integer.

    Input and output shape: `(batch, height, width, channels)` or `(height, width, channels)`.

    Example:

    >>> layer = Cutout(size=2, seed=1)
    >>> int(keras.ops.sum(layer(np.ones((1, 2, 2, 1)), training=True))) < 4
    True

    Reference:
        DeVries and Taylor, 2017, https://arxiv.org/abs/1708.04552
    """

    def __init__(self, size=16, fill_value=0.0, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.size = checks.positive_int("size", size)
        self.fill_value = float(fill_value)
        self.seed = seed
        self.generator = keras.random.SeedGenerator(seed)

    def compute_output_shape(self, input_shape):
        return input_shape

    def call(self, images, training=True):
        images = self.backend.cast(images, self.compute_dtype)
        if not training:
            return images
        shape = image_shape(self, images)
        rows = self._inside(shape, -3)[..., :, None]
        columns = self._inside(shape, -2)[..., None, :]
        square = self.backend.numpy.logical_and(rows, columns)[..., None]
        fill = self.backend.cast(self.fill_value, images.dtype)
        return self.backend.numpy.where(square, fill, images)

    def _inside(self, shape, axis):
        """Which coordinates of one axis lie in the square: (batch, size of the axis)."""
        centre = self.backend.random.randint(
            (*shape[:-3], 1), 0, shape[axis], seed=_keras.seed_of(self)
        )
        start = centre - self.size // 2
        at = self.backend.numpy.arange(shape[axis], dtype="int32")
        return self.backend.numpy.logical_and(at >= start, at < start + self.size)

    def get_config(self):
        config = {"size": self.size, "fill_value": self.fill_value, "seed": self.seed}
        return {**super().get_config(), **config}


@keras.saving.register_keras_serializable("keras_staa")
class RandomChoice(_keras.DataLayer):
    """Applies to each image one of several layers, or none, all equally likely.

    `keras.layers.RandAugment` draws the operations once for the whole batch. Here every layer sees
    the whole batch and each image keeps one result, so the layers must keep the shape.
    In inference the layer is the identity.

    Args:
        layers: list of layers that keep the shape of their input.
        seed: optional integer, of the choice; the layers have seeds of their own.

    Input and output shape: `(batch, height, width, channels)` or `(height, width, channels)`.

    Example:

    >>> layer = RandomChoice([keras.layers.RandomBrightness(0.5, value_range=(0, 1))], seed=1)
    >>> tuple(layer(np.ones((2, 8, 8, 3)), training=True).shape)
    (2, 8, 8, 3)
    """

    def __init__(self, layers, seed=None, **kwargs):
        super().__init__(**kwargs)
        if not layers or not all(isinstance(layer, keras.Layer) for layer in layers):
            raise ValueError(
                f"`layers` must be a non-empty list of Keras layers. Received: layers={layers!r}"
            )
        self.layers = list(layers)
        self.seed = seed
        self.generator = keras.random.SeedGenerator(seed)

    def build(self, input_shape):
        for layer in self.layers:
            if not layer.built:
                layer.build(input_shape)

    def compute_output_shape(self, input_shape):
        return input_shape

    def call(self, images, training=True):
        images = self.backend.cast(images, self.compute_dtype)
        if not training:
            return images
        shape = image_shape(self, images)
        choice = self.backend.random.randint(
            (*shape[:-3], 1, 1, 1),
            0,
            len(self.layers) + 1,
            seed=_keras.seed_of(self),
        )
        outputs = images
        for index, layer in enumerate(self.layers):
            changed = self.backend.cast(layer(images, training=True), images.dtype)
            outputs = self.backend.numpy.where(choice == index, changed, outputs)
        return outputs

    def get_config(self):
        layers = [keras.saving.serialize_keras_object(layer) for layer in self.layers]
        return {**super().get_config(), "layers": layers, "seed": self.seed}

    @classmethod
    def from_config(cls, config):
        layers = [keras.saving.deserialize_keras_object(layer) for layer in config["layers"]]
        return cls(**{**config, "layers": layers})


@keras.saving.register_keras_serializable("keras_staa")
class Shear(keras.layers.RandomShear):
    """Symmetric, and loads again: Keras refuses the negative bound that it writes itself."""

    def get_config(self):
        bounds = {"x_factor": self.x_factor[1], "y_factor": self.y_factor[1]}
        return {**super().get_config(), **bounds}


def random_crop(image_shape, padding=4, seed=None, **kwargs):
    """Pad with zeros and crop back to the size, at an offset drawn for each image.

    `keras.layers.RandomCrop` crops a whole batch alike. `keras.layers.RandomTranslation` draws for
    each image; taking the nearest pixel of shifts up to `padding` and a half makes each of the
    `2 * padding + 1` whole shifts of an axis equally likely, with pixels copied exactly.

    Args:
        image_shape: (height, width, channels) of the images.
        padding: positive integer, the largest shift in pixels.
        seed: optional integer.
        **kwargs: `name` and `dtype` of the layer.

    Returns:
        A `keras.layers.RandomTranslation`.

    Example:

    >>> layer = random_crop((32, 32, 3))
    >>> tuple(layer(np.ones((2, 32, 32, 3)), training=True).shape)
    (2, 32, 32, 3)
    """
    # A hair below one half: float rounding must never reach a shift of padding + 1.
    shift = checks.positive_int("padding", padding) + 0.499
    height, width = image_shape[:2]
    if shift > min(height, width):
        raise ValueError(
            "`padding` must be smaller than the height and width of the images. "
            f"Received: padding={padding}, image_shape={tuple(image_shape)}"
        )
    return keras.layers.RandomTranslation(
        shift / height,
        shift / width,
        fill_mode="constant",
        interpolation="nearest",
        seed=seed,
        data_format="channels_last",
        **kwargs,
    )


def _crop(image_shape, seeds):
    return random_crop(image_shape, seed=next(seeds), dtype="float32")


def _flip(image_shape, seeds):
    return keras.layers.RandomFlip(
        "horizontal", seed=next(seeds), data_format="channels_last", dtype="float32"
    )


def _cutout(image_shape, seeds):
    return Cutout(16, seed=next(seeds), dtype="float32")


def _one_operation(image_shape, seeds):
    """One of RandAugment's operations at a random strength for each image: TrivialAugment.

    Left out is sharpness, since `keras.layers.RandomSharpness` darkens the border.
    """
    layers = keras.layers
    # "constant" alone means the same to all three backends.
    moved = {"fill_mode": "constant"}
    coloured = {"value_range": (0.0, 1.0)}
    operations = [
        (layers.RandomRotation, {"factor": 30 / 360, **moved}),
        (Shear, {"x_factor": 0.3, "y_factor": 0.0, **moved}),
        (Shear, {"x_factor": 0.0, "y_factor": 0.3, **moved}),
        (layers.RandomTranslation, {"height_factor": 0.3, "width_factor": 0.0, **moved}),
        (layers.RandomTranslation, {"height_factor": 0.0, "width_factor": 0.3, **moved}),
        (layers.RandomBrightness, {"factor": 0.4, **coloured}),
        (layers.RandomContrast, {"factor": (0.9, 0.9), **coloured}),
        (layers.Solarization, {"threshold_factor": 1.0, **coloured}),
        (layers.RandomPosterization, {"factor": (4, 8), **coloured}),
        (layers.AutoContrast, coloured),
        (layers.Equalization, coloured),
    ]
    if image_shape[-1] == 3:
        operations.append((layers.RandomColorDegeneration, {"factor": 0.9, **coloured}))
    common = {"data_format": "channels_last", "dtype": "float32"}
    without_draws = (layers.AutoContrast, layers.Equalization)
    return RandomChoice(
        [
            make(**arguments, **common)
            if make in without_draws
            else make(**arguments, **common, seed=next(seeds))
            for make, arguments in operations
        ],
        seed=next(seeds),
        dtype="float32",
    )


POLICIES = {
    "crop": (_crop,),
    "standard": (_crop, _flip),
    "cutout": (_crop, _flip, _cutout),
    "strong": (_crop, _flip, _one_operation, _cutout),
}


def pipeline(name, image_shape, seed=None):
    """Return the layers of a named augmentation policy, for images in [0, 1].

    - `"crop"`: crop with padding 4; for images that must not be mirrored, such as digits.
    - `"standard"`: crop and horizontal flip.
    - `"cutout"`: standard and a cutout of 16 x 16 pixels.
    - `"strong"`: standard, one of RandAugment's operations at a random strength (TrivialAugment,
      Müller and Hutter 2021, https://arxiv.org/abs/2103.10158), and cutout.

    Args:
        name: string, one of the policies above.
        image_shape: (height, width, channels) of the images.
        seed: optional integer, from which each layer gets a seed of its own.

    Returns:
        A `keras.layers.Pipeline`. It computes in float32 under any dtype policy.

    Raises:
        ValueError: if the policy is unknown.

    Example:

    >>> augment = pipeline("standard", (32, 32, 3), seed=1)
    >>> tuple(augment(np.ones((2, 32, 32, 3)), training=True).shape)
    (2, 32, 32, 3)
    """
    checks.choice("name", name, list(POLICIES))
    seeds = seeds_from(seed)
    return Pipeline([make(image_shape, seeds) for make in POLICIES[name]])


def seeds_from(seed):
    """Independent seeds from one, without end; None for ever from None."""
    sequence = None if seed is None else np.random.default_rng(seed)
    while True:
        yield None if sequence is None else int(sequence.integers(2**31))
