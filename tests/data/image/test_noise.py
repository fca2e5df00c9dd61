"""Random noise and JPEG compression against NumPy and Pillow."""

import io

import keras
import numpy as np
import pytest
from PIL import Image

from keras_staa.data import RandomGaussianNoise, RandomJPEG, images
from keras_staa.training import build


def changed(layer, images):
    return keras.ops.convert_to_numpy(layer(images, training=True))


def scenes(count, height=32, width=32, channels=3, seed=0):
    """Images with waves and edges, and few high frequencies: uint8."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width] / 32
    found = np.zeros((count, height, width, channels))
    for image in found:
        for channel in range(channels):
            a, b, c, d = rng.uniform(-9, 9, 4)
            image[..., channel] = 0.5 + 0.3 * np.sin(a * rows + b * columns + c)
            image[..., channel] += 0.2 * np.sign(rows + d * columns - 0.4)
    found += rng.normal(0, 0.02, found.shape)
    return np.round(255 * np.clip(found, 0, 1)).astype("uint8")


def by_pillow(images, quality):
    found = []
    for image in images:
        file = io.BytesIO()
        plain = image[..., 0] if image.shape[-1] == 1 else image
        Image.fromarray(plain).save(file, "JPEG", quality=quality)
        found.append(np.asarray(Image.open(file)).reshape(image.shape))
    return np.stack(found).astype("float64")


def test_noise_has_a_deviation_for_each_image():
    grey = np.full((400, 16, 16, 3), 0.5, "float32")
    noise = changed(RandomGaussianNoise((0.02, 0.1), seed=1), grey) - 0.5
    deviations = noise.std(axis=(1, 2, 3))
    assert 0.018 < deviations.min() < 0.025 and 0.095 < deviations.max() < 0.11
    assert deviations.mean() == pytest.approx(0.06, abs=0.005)
    scaled = (noise / deviations[:, None, None, None]).ravel()
    # Of a Gaussian: its mean, skewness and kurtosis.
    assert np.abs([scaled.mean(), (scaled**3).mean()]).max() < 0.02
    assert (scaled**4).mean() == pytest.approx(3, abs=0.05)
    # Neighbors, channels and images have noise of their own.
    for other in (np.roll(noise, 1, axis) for axis in range(4)):
        assert abs(np.corrcoef(noise.ravel(), other.ravel())[0, 1]) < 0.02


def test_noise_is_clipped_to_the_range_of_values():
    black = np.zeros((8, 16, 16, 1), "float32")
    found = changed(RandomGaussianNoise((0.1, 0.1), seed=1), black)
    assert found.min() == 0 and 0.4 < (found == 0).mean() < 0.6
    found = changed(RandomGaussianNoise((25, 25), value_range=(-255, 255), seed=1), black)
    assert found.min() < -25 and found.max() > 25


@pytest.mark.parametrize(
    "layer", [RandomGaussianNoise(0.1, rate=0.3, seed=1), RandomJPEG((20, 60), rate=0.3, seed=1)]
)
def test_a_share_of_the_images_is_changed(layer):
    images = scenes(600, 16, 16) / np.float32(255)
    same = (changed(layer, images) == images).all(axis=(1, 2, 3))
    deviation = np.sqrt(600 * 0.3 * 0.7)
    assert abs(np.sum(~same) - 180) < 5 * deviation


@pytest.mark.parametrize("quality", [5, 30, 50, 75, 90, 100])
@pytest.mark.parametrize("shape", [(32, 32, 3), (21, 35, 3), (19, 24, 1)])
def test_jpeg_is_that_of_pillow(quality, shape):
    images = scenes(30, *shape)
    found = 255 * changed(RandomJPEG((quality, quality), seed=1), images / np.float32(255))
    np.testing.assert_allclose(found, np.round(found), atol=1e-3)
    expected = by_pillow(images, quality)
    # Decoders round in their own ways; the standard allows for it.
    assert np.abs(found - expected).mean() < 0.6
    assert np.mean(np.abs(found - expected) > 3) < 0.03
    lost = np.abs(expected - images).mean()
    assert np.abs(found - images).mean() == pytest.approx(lost, rel=0.05, abs=0.02)


def test_each_image_has_its_own_quality():
    images = np.repeat(scenes(1), 300, axis=0)
    found = np.round(255 * changed(RandomJPEG((40, 44), seed=1), images / np.float32(255)))
    alone = [
        np.round(255 * changed(RandomJPEG((q, q)), images[:1] / np.float32(255)))[0]
        for q in range(40, 45)
    ]
    counts = [sum(np.array_equal(image, each) for image in found) for each in alone]
    assert sum(counts) == 300 and min(counts) > 30


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="sizes that are not known")
def test_images_of_unknown_size():
    import tensorflow as tf

    images = (scenes(3, 21, 35) / np.float32(255)).astype("float32")
    layer = RandomJPEG((50, 50), seed=1)
    signature = tf.TensorSpec((None, None, None, 3), "float32")
    found = tf.function(lambda x: layer(x, training=True), input_signature=[signature])(images)
    np.testing.assert_allclose(found, changed(layer, images), atol=2 / 255)


def test_trains_inside_a_compiled_model():
    images = (scenes(6, 16, 16) / np.float32(255)).astype("float32")
    layers = [
        keras.Input((16, 16, 3)),
        RandomGaussianNoise(0.1, rate=0.5, seed=1),
        RandomJPEG((30, 90), rate=0.5, seed=1),
        keras.layers.RandomGaussianBlur(0.5, value_range=(0, 1), seed=1),
        keras.layers.Flatten(),
        keras.layers.Dense(2),
    ]
    model = keras.Sequential(layers)
    model.compile("sgd", "mse", jit_compile=keras.backend.backend() != "torch")
    states = [keras.ops.convert_to_numpy(layer.generator.state) for layer in layers[1:4]]
    model.fit(images, np.ones((6, 2)), batch_size=3, verbose=0)
    for layer, before in zip(layers[1:4], states, strict=True):
        assert not np.array_equal(keras.ops.convert_to_numpy(layer.generator.state), before)


TABLES = [
    {"class_name": "RandomGaussianNoise", "stddev": [0.0, 0.05], "rate": 0.5},
    {"class_name": "RandomJPEG", "quality": [50, 90]},
    {"class_name": "RandomGaussianBlur", "factor": 0.3, "value_range": [0.0, 1.0]},
]


def test_the_host_draws_anew_in_each_epoch_and_again_from_the_seed(tmp_path):
    file = tmp_path / "scenes.npz"
    np.savez(file, x_train=scenes(12, 16, 16), y_train=np.arange(12) % 2)
    batches = [
        images(str(file), "train", batch_size=6, augment=build.augmentation(TABLES), seed=1)
        for _ in range(2)
    ]
    first, again = (batch[0][0] for batch in batches)
    np.testing.assert_array_equal(first, again)
    assert first.dtype == np.float32 and first.min() >= 0 and first.max() <= 1
    batches[0].set_epoch(1)
    plain = images(str(file), "train", batch_size=6, seed=1)
    plain.set_epoch(1)
    later, clean = batches[0][0][0], plain[0][0]
    assert (np.abs(later - clean).mean(axis=(1, 2, 3)) > 1e-4).all()
    assert not np.array_equal(np.sort(first.ravel()), np.sort(later.ravel()))


def test_recipes_name_them():
    noise, jpeg, blur = build.augmentation(TABLES)
    assert blur.compute_dtype == "float32"
    assert noise.stddev == (0.0, 0.05) and noise.rate == 0.5 and jpeg.quality == (50, 90)
    assert noise.compute_dtype == jpeg.compute_dtype == "float32"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: RandomGaussianNoise(-1.0),
            r"`stddev` must be two numbers, 0 <= low <= high. Received: stddev=\(0.0, -1.0\)",
        ),
        (lambda: RandomGaussianNoise(rate=2), r"`rate` must be a number in \[0, 1\]"),
        (lambda: RandomGaussianNoise(value_range=(1, 0)), "`value_range` must be two numbers"),
        (lambda: RandomGaussianNoise()(np.ones((2, 2))), "must have rank 3.*or 4"),
        (lambda: RandomJPEG(75), "`quality` must be two numbers, 1 <= low <= high <= 100"),
        (lambda: RandomJPEG((0, 50)), "`quality` must be two numbers"),
        (lambda: RandomJPEG((50, 101)), "`quality` must be two numbers"),
        (lambda: RandomJPEG()(np.ones((1, 8, 8, 2))), "must have 1 channel or 3"),
    ],
)
def test_errors_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()
