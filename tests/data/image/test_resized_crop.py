"""RandomResizedCrop against bilinear interpolation in NumPy and Pillow."""

import keras
import numpy as np
import pytest
import scipy.ndimage

from keras_staa.data import RandomResizedCrop


def ramp(count, height, width):
    """Images whose two channels are the coordinates of each pixel's centre."""
    rows, columns = np.meshgrid(np.arange(height) + 0.5, np.arange(width) + 0.5, indexing="ij")
    image = np.stack([rows, columns], axis=-1).astype("float32")
    return np.broadcast_to(image, (count, height, width, 2)).copy()


def parts(layer, images):
    """Return what the layer shows of each ramp: top, left, height and width."""
    shown = keras.ops.convert_to_numpy(layer(images, training=True))
    rows, columns = shown[:, 1:-1, 1:-1, 0], shown[:, 1:-1, 1:-1, 1]
    # A linear image stays one under a change of size.
    steps = np.diff(rows, axis=1), np.diff(columns, axis=2)
    for step in steps:
        assert np.ptp(step.reshape(len(images), -1), axis=1).max() < 1e-3
    y, x = steps[0][:, 0, 0], steps[1][:, 0, 0]
    top, left = rows[:, 0, 0] - 1.5 * y, columns[:, 0, 0] - 1.5 * x
    return top, left, y * layer.height, x * layer.width


def test_area_aspect_and_place_are_drawn_for_each_image():
    height, width = 60, 80
    layer = RandomResizedCrop(20, 24, scale=(0.1, 0.5), ratio=(0.8, 1.25), seed=1)
    top, left, rows, columns = parts(layer, ramp(400, height, width))
    area, ratio = rows * columns / (height * width), columns / rows
    assert 0.0999 < area.min() < 0.12 and 0.48 < area.max() < 0.5001
    assert area.mean() == pytest.approx(0.3, abs=0.02)
    assert 0.7999 < ratio.min() < 0.83 and 1.2 < ratio.max() < 1.2501
    assert np.log(ratio).mean() == pytest.approx(0, abs=0.02)
    for start, side, whole in ((top, rows, height), (left, columns, width)):
        place = start / (whole - side)
        assert -1e-3 < place.min() < 0.02 and 0.98 < place.max() < 1.001
        assert place.mean() == pytest.approx(0.5, abs=0.05)


def test_the_whole_image_is_resized_bilinearly():
    rng = np.random.default_rng(0)
    image = rng.random((12, 12)).astype("float32")
    layer = RandomResizedCrop(12, 8, scale=(1.0, 1.0), ratio=(1.0, 1.0), seed=1)
    ours = keras.ops.convert_to_numpy(layer(image[None, :, :, None], training=True))[0, ..., 0]
    assert ours.shape == (12, 8)
    x = (np.arange(8) + 0.5) * 12 / 8 - 0.5
    low = np.floor(x).astype(int)
    expected = image[:, low] * (1 - (x - low)) + image[:, np.minimum(low + 1, 11)] * (x - low)
    np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_each_part_is_resized_bilinearly():
    """Also where pixels of the output lie over the edge of the image."""
    size, channels = 10, 3
    noise = np.random.default_rng(0).random((30, size, size, channels)).astype("float32")
    layer = RandomResizedCrop(8, 9, scale=(0.3, 1.0), seed=1)
    shown = keras.ops.convert_to_numpy(
        layer(np.concatenate([ramp(30, size, size), noise], axis=-1), training=True)
    )
    for image, (y, x), found in zip(
        noise, zip(shown[:, :, 4, 0], shown[:, 4, :, 1], strict=True), shown[..., 2:], strict=True
    ):
        places = np.meshgrid(y - 0.5, x - 0.5, indexing="ij")
        for channel in range(channels):
            expected = scipy.ndimage.map_coordinates(image[..., channel], places, order=1)
            np.testing.assert_allclose(found[..., channel], expected, atol=1e-4)


def test_in_bfloat16_products_are_in_float32():
    # Keras rounds the input; these are exact in it.
    images = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3)).astype("float32")
    exact, rounded = (
        RandomResizedCrop(8, 8, seed=1, dtype=dtype)(images, training=True)
        for dtype in ("float32", "mixed_bfloat16")
    )
    assert keras.backend.standardize_dtype(rounded.dtype) == "bfloat16"
    expected = keras.ops.convert_to_numpy(keras.ops.cast(exact, "bfloat16")).astype("float32")
    found = keras.ops.convert_to_numpy(rounded).astype("float32")
    np.testing.assert_allclose(found, expected, rtol=2**-7)
    assert (found == expected).mean() > 0.95


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="sizes that are not known")
def test_images_of_unknown_size():
    import tensorflow as tf

    images = ramp(3, 9, 10)
    layer = RandomResizedCrop(9, 10, scale=(1.0, 1.0), ratio=(1.0, 1.0), seed=1)
    signature = tf.TensorSpec((None, None, None, 2), "float32")
    shown = tf.function(lambda x: layer(x, training=True), input_signature=[signature])(images)
    # A square of the area of the image is higher than it, and is cut to its height.
    np.testing.assert_allclose(shown[..., 0], images[..., 0], atol=1e-4)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="compiles with TensorFlow")
def test_xla_compiles_a_crop_on_tensorflow():
    """For TPUs everything in a step must be compiled by it."""
    import tensorflow as tf

    images = ramp(2, 9, 10)
    layer = RandomResizedCrop(9, 10, scale=(1.0, 1.0), ratio=(1.0, 1.0), seed=1)
    shown = tf.function(lambda x: layer(x, training=True), jit_compile=True)(images)
    np.testing.assert_allclose(shown[..., 0], images[..., 0], atol=1e-4)


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="reads the program of JAX")
def test_a_compiled_crop_has_no_gather():
    """Accelerators gather pixel by pixel."""
    import jax

    layer = RandomResizedCrop(8, 8, seed=1)
    text = jax.jit(lambda x: layer(x, training=True)).lower(np.ones((2, 16, 16, 3))).as_text()
    assert "dot_general" in text and "gather" not in text


def test_inference_is_the_central_part():
    images = np.random.default_rng(0).random((2, 9, 10, 3)).astype("float32")
    shown = RandomResizedCrop(4, 6)(images, training=False)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(shown), images[:, 2:6, 2:8])
    single = RandomResizedCrop(4, 6, seed=1)(images[0], training=True)
    assert tuple(single.shape) == (4, 6, 3)


def test_a_configuration_makes_the_same():
    layer = RandomResizedCrop(4, 6, scale=(0.2, 0.9), seed=1)
    again = keras.layers.deserialize(keras.layers.serialize(layer))
    assert again.get_config() == layer.get_config()
    assert layer.compute_output_shape((None, 9, 10, 3)) == (None, 4, 6, 3)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"height": 0, "width": 4}, "`height` must be a positive integer"),
        ({"height": 4, "width": 4, "scale": (0.0, 1.0)}, "`scale.*Received"),
        ({"height": 4, "width": 4, "scale": (0.5, 1.1)}, "`scale` must be two numbers"),
        ({"height": 4, "width": 4, "scale": 0.5}, "`scale` must be two numbers"),
        ({"height": 4, "width": 4, "ratio": (2, 1)}, "`ratio` must be two numbers"),
    ],
)
def test_arguments_outside_their_ranges(arguments, message):
    with pytest.raises(ValueError, match=message):
        RandomResizedCrop(**arguments)


def test_an_image_that_is_too_small():
    with pytest.raises(ValueError, match="at least 8 x 8.*Received: shape=.2, 4, 9, 3."):
        RandomResizedCrop(8, 8)(np.zeros((2, 4, 9, 3)), training=True)
