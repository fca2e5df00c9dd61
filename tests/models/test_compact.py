"""The whitening convolution of the compact network."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_staa
from keras_staa.models import whiten
from keras_staa.models.compact import WHITENING


def textures(count, channels=3, seed=0):
    """Images whose pixels depend on their neighbors and channels on one another."""
    rng = np.random.default_rng(seed)
    noise = rng.random((count, 32, 32, channels)).astype("float32")
    smooth = noise + np.roll(noise, 1, axis=1) + np.roll(noise, 1, axis=2)
    return (smooth + smooth.mean(axis=-1, keepdims=True)) / 6


def whitened(model, images):
    """What the whitening convolution makes of images, by NumPy: (places, filters)."""
    layer = model.get_layer(WHITENING)
    layer = getattr(layer, "layer", layer)
    kernel = ops.convert_to_numpy(layer.kernel).astype("float64")
    total = 0
    (rows, columns), (down, across) = layer.kernel_size, layer.strides
    for row in range(rows):
        for column in range(columns):
            below, right = images.shape[1] - rows + row + 1, images.shape[2] - columns + column + 1
            part = images[:, row:below:down, column:right:across]
            total = total + part.astype("float64") @ kernel[row, column]
    return total.reshape(-1, kernel.shape[-1])


def test_the_outputs_of_the_whitening_convolution_are_uncorrelated():
    images = textures(50)
    model = whiten(keras_staa.STAACompact(width=4, steps=1), images, epsilon=1e-9)
    outputs = whitened(model, images)
    half = outputs.shape[1] // 2
    np.testing.assert_allclose(outputs[:, :half], -outputs[:, half:], rtol=1e-5, atol=1e-5)
    moments = outputs[:, :half].T @ outputs[:, :half] / len(outputs)
    np.testing.assert_allclose(moments, np.eye(half), atol=1e-3)


def test_the_whitening_sees_images_as_the_convolution_does():
    """After the normalization of the model, and step by step for frames."""
    mean, deviation = [0.5, 0.4, 0.3], [0.2, 0.25, 0.3]
    pairs = list(zip(mean, deviation, strict=True))
    images = textures(20)
    model = whiten(keras_staa.STAACompact(width=4, steps=1, normalization=pairs), images, 1e-9)
    outputs = whitened(model, (images - mean) / deviation)[:, :12]
    np.testing.assert_allclose(outputs.T @ outputs / len(outputs), np.eye(12), atol=1e-3)
    frames = textures(20, 2).reshape(10, 2, 32, 32, 2)
    model = whiten(keras_staa.STAACompact(width=4, input_shape=(2, 32, 32, 2)), frames, 1e-9)
    outputs = whitened(model, frames.reshape(20, 32, 32, 2))[:, :8]
    np.testing.assert_allclose(outputs.T @ outputs / len(outputs), np.eye(8), atol=1e-3)


def test_a_strided_stem_keeps_the_leading_directions_of_larger_patches():
    images = textures(40)
    model = keras_staa.STAACompact(width=4, steps=1, stem_strides=2)
    plain = keras_staa.STAACompact(width=4, steps=1, input_shape=(16, 16, 3))
    assert model.get_layer("stage3_2_neuron").output.shape == (
        plain.get_layer("stage3_2_neuron").output.shape
    )
    outputs = whitened(whiten(model, images, 1e-9), images)
    assert outputs.shape[1] == 2 * 24
    moments = outputs[:, :24].T @ outputs[:, :24] / len(outputs)
    np.testing.assert_allclose(moments, np.eye(24), atol=1e-3)
    # No directions have more variance: that of the patches explained by the outputs is the most.
    patches = np.lib.stride_tricks.sliding_window_view(images, (4, 4), axis=(1, 2))[:, ::2, ::2]
    rows = patches.reshape(-1, 48).astype("float64")
    variances = np.linalg.svd(rows, compute_uv=False) ** 2 / len(rows)
    explained = np.square(rows.T @ outputs[:, :24] / len(outputs)).sum()
    np.testing.assert_allclose(explained, variances[:24].sum(), rtol=1e-3)


@pytest.mark.parametrize("scale", [1.0, 0.01])
def test_the_filters_amplify_noise_only_so_far(scale):
    """Images of few directions: the others would be amplified without end."""
    images = scale * np.repeat(np.repeat(textures(20)[:, ::4, ::4], 4, axis=1), 4, axis=2)
    model = whiten(keras_staa.STAACompact(width=4, steps=1), images)
    norms = [
        np.linalg.norm(ops.convert_to_numpy(m.get_layer(WHITENING).kernel).reshape(12, 24), axis=0)
        for m in (model, whiten(keras_staa.STAACompact(width=4, steps=1), images, epsilon=1e-6))
    ]
    size = np.sqrt(np.mean(np.square(images)))
    assert norms[0].max() < 1.01 / np.sqrt(0.05) / size < norms[1].max() / 5
    # Noise of a tenth of the images' size is less than the images are, for every filter.
    noise = np.random.default_rng(0).normal(0, 0.1 * size, images.shape).astype("float32")
    assert np.std(whitened(model, noise), axis=0).max() < 0.5
    assert np.sqrt(np.mean(np.square(whitened(model, images)[:, 0]))) > 0.9


def test_black_images_leave_finite_filters():
    model = whiten(keras_staa.STAACompact(width=4, steps=1), np.zeros((4, 32, 32, 3)))
    assert np.isfinite(ops.convert_to_numpy(model.get_layer(WHITENING).kernel)).all()


def test_images_of_another_size_than_the_input():
    """A stage of a training may crop the images."""
    images = textures(20)
    models = [
        whiten(keras_staa.STAACompact(width=4, steps=1, input_shape=(size, size, 3)), images)
        for size in (32, 16)
    ]
    kernels = [ops.convert_to_numpy(model.get_layer(WHITENING).kernel) for model in models]
    np.testing.assert_array_equal(*kernels)


@pytest.mark.heavy
def test_training_leaves_the_whitening_alone():
    images = textures(8)
    neuron = {"surrogate": "triangular", "threshold": 0.1}
    model = whiten(keras_staa.STAACompact(width=4, steps=1, classes=2, neuron=neuron), images)
    before = [np.array(w) for w in model.get_weights()]
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    model.fit(images, np.arange(8) % 2, verbose=0)
    same = {w.path: np.array_equal(b, w) for b, w in zip(before, model.weights, strict=True)}
    assert [path for path, kept in same.items() if kept and path.endswith("kernel")] == [
        f"{WHITENING}/kernel"
    ]


@pytest.mark.parametrize(
    "images, message",
    [
        (np.zeros((4, 32, 32, 1)), "`images` must be of the shape (N, height, width, 3)"),
        (np.zeros((4, 2, 32, 32, 3)), "`images` must be of the shape (N, height, width, 3)"),
        (np.zeros((0, 32, 32, 3)), "N of 1 or more"),
        (np.zeros((4, 1, 32, 3)), "at least 2 x 2 pixels"),
    ],
)
def test_images_of_another_shape(images, message):
    with pytest.raises(ValueError) as error:
        whiten(keras_staa.STAACompact(width=4), images)
    assert message in str(error.value)


def test_other_networks_have_no_whitening():
    with pytest.raises(ValueError, match="`model` must be a STAACompact"):
        whiten(keras_staa.STAAVGG(width=4), textures(2))


def test_layers_of_one_shape_start_differently():
    model = keras_staa.STAACompact(width=4, steps=1)
    first, second = (model.get_layer(f"stage3_{i}_conv").layer.kernel for i in (1, 2))
    assert first.shape == second.shape
    assert not np.array_equal(ops.convert_to_numpy(first), ops.convert_to_numpy(second))
