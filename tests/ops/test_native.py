"""Convolution and normalization against Keras's own layers and hand-derived values."""

import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops

from keras_staa.layers import BatchNormalization, Conv2D
from keras_staa.ops import native
from tests.gradients import gradients

BY_XLA = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="Only TensorFlow compiles this by XLA."
)
COMPILED = [False, pytest.param(True, marks=BY_XLA)]


def images(shape=(3, 6, 5, 4), seed=0):
    return np.random.default_rng(seed).normal(0.5, 2.0, shape).astype("float32")


def numpy_convolution(x, kernel, strides, padding, dilation):
    """The definition, place by place; `same` puts the odd row or column behind."""
    extent = [(k - 1) * d + 1 for k, d in zip(kernel.shape, dilation, strict=False)]
    if padding == "same":
        sizes = [-(-n // s) for n, s in zip(x.shape[1:], strides, strict=False)]
        total = [
            max((m - 1) * s + e - n, 0)
            for m, s, e, n in zip(sizes, strides, extent, x.shape[1:], strict=False)
        ]
        pads = [(t // 2, t - t // 2) for t in total]
        x = np.pad(x, ((0, 0), *pads, (0, 0)))
    sizes = [(n - e) // s + 1 for n, s, e in zip(x.shape[1:], strides, extent, strict=False)]
    y = np.zeros((len(x), *sizes, kernel.shape[3]))
    for i, j in np.ndindex(*sizes):
        a, b = i * strides[0], j * strides[1]
        patch = x[:, a : a + extent[0] : dilation[0], b : b + extent[1] : dilation[1]]
        y[:, i, j] = np.tensordot(patch, kernel, 3)
    return y


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(
    ("kernel", "strides", "dilation"),
    [(3, 1, 1), (3, 2, 1), (1, 2, 1), (7, 2, 1), ((2, 3), (1, 2), 1), (2, 1, 2)],
)
def test_convolution(kernel, strides, dilation, padding, bias):
    x = images((2, 9, 8, 3))
    layer = Conv2D(
        4, kernel, strides=strides, dilation_rate=dilation, padding=padding, use_bias=bias
    )
    layer.build(x.shape)
    offset = np.arange(4.0) if bias else np.zeros(4)
    if bias:
        layer.bias.assign(offset)
    y = ops.convert_to_numpy(layer(x))
    expected = numpy_convolution(
        x.astype("float64"),
        ops.convert_to_numpy(layer.kernel).astype("float64"),
        layer.strides,
        padding,
        layer.dilation_rate,
    )
    expected = expected + offset
    assert y.shape == layer.compute_output_shape(x.shape)
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


STRIDED = """
import numpy as np
from keras_staa.ops import native
from tests.gradients import gradients

x = np.random.default_rng(0).normal(size=(32, 64, 64, 4)).astype("float32")
kernel = np.ones((1, 1, 4, 8), "float32")
expected = x[:, ::2, ::2].astype("float64").sum(axis=(0, 1, 2))

def strided(x, kernel):
    return native.convolution(x, kernel, (2, 2), "same")

for _ in range(20):
    made = gradients(strided, (x, kernel), np.ones((32, 32, 32, 8)))[1][1]
    np.testing.assert_allclose(made[0, 0], expected[:, None].repeat(8, 1), atol=1e-2)
"""


def test_the_gradient_of_few_channels_and_a_strided_place_is_right():
    """oneDNN by itself, on PyTorch and TensorFlow: wrong values, crashes and loops without end."""
    root = pathlib.Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", STRIDED], cwd=root, check=True, timeout=100)


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_gradients_of_the_convolution_are_those_of_keras(padding):
    layer = Conv2D(4, 3, strides=2, padding=padding)
    keras_layer = keras.layers.Conv2D.from_config(layer.get_config())
    x, kernel = images((2, 9, 8, 3)), images((3, 3, 3, 4), 1)
    g = images(layer.compute_output_shape(x.shape), 2)
    own, (dx, dk) = gradients(layer.convolution_op, [x, kernel], g)
    expected, (ex, ek) = gradients(keras_layer.convolution_op, [x, kernel], g)
    for got, wanted in ((own, expected), (dx, ex), (dk, ek)):
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


def test_convolution_with_groups_is_that_of_keras():
    layer = Conv2D(4, 3, groups=2, data_format="channels_last")
    x = images()
    expected = keras.layers.Conv2D.from_config(layer.get_config())
    expected.build(x.shape)
    layer.build(x.shape)
    expected.set_weights(layer.get_weights())
    np.testing.assert_array_equal(*(ops.convert_to_numpy(f(x)) for f in (layer, expected)))


def by_hand(x, gamma, beta, epsilon):
    x = x.astype("float64")
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    return gamma * (x - mean) / np.sqrt(variance + epsilon) + beta, mean, variance


@pytest.fixture
def norm():
    layer = BatchNormalization(momentum=0.75, epsilon=1e-3)
    layer.build((None, 6, 5, 4))
    rng = np.random.default_rng(3)
    layer.set_weights([rng.uniform(0.5, 2, 4) for _ in range(4)])
    return layer


def test_normalization_in_training(norm):
    gamma, beta, moving_mean, moving_variance = norm.get_weights()
    x = images()
    y = ops.convert_to_numpy(norm(x, training=True))
    expected, mean, variance = by_hand(x, gamma, beta, 1e-3)
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-5)
    after = norm.get_weights()[2:]
    np.testing.assert_allclose(after[0], 0.75 * moving_mean + 0.25 * mean, rtol=1e-5)
    np.testing.assert_allclose(after[1], 0.75 * moving_variance + 0.25 * variance, rtol=1e-5)


@pytest.mark.parametrize("frozen", [False, True])
def test_normalization_by_the_moving_averages(norm, frozen):
    norm.trainable = not frozen
    gamma, beta, mean, variance = before = norm.get_weights()
    x = images()
    y = ops.convert_to_numpy(norm(x, training=frozen))
    expected = gamma * (x - mean) / np.sqrt(variance + 1e-3) + beta
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-5)
    for old, new in zip(before, norm.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("training", [True, False])
def test_gradients_of_the_normalization_are_those_of_keras(norm, training):
    theirs = keras.layers.BatchNormalization.from_config(norm.get_config())
    theirs.build((None, 6, 5, 4))
    x, g = images(), images(seed=5)
    found = []
    for layer in (norm, theirs):
        fixed = [ops.convert_to_tensor(w) for w in norm.get_weights()[2:]]

        def call(x, gamma, beta, layer=layer, fixed=fixed):
            return layer.stateless_call([gamma, beta], fixed, x, training=training)[0]

        found.append(gradients(call, [x, *norm.get_weights()[:2]], g)[1])
    for got, wanted in zip(*found, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=0, atol=2e-5 * np.abs(wanted).max())


# What the layers on TensorFlow and PyTorch do better than Keras's, which JAX has.
own_operation = pytest.mark.skipif(
    keras.backend.backend() == "jax", reason="JAX compiles Keras's formula"
)


def by_hand_gradients(x, g, gamma, mean, variance, epsilon):
    x, g = x.astype("float64"), g.astype("float64")
    inverse = 1 / np.sqrt(variance + epsilon)
    x = (x - mean) * inverse
    doffset, dscale = g.sum((0, 1, 2)), (g * x).sum((0, 1, 2))
    n = x[..., 0].size
    return gamma * inverse * (g - doffset / n - x * dscale / n), dscale, doffset


@own_operation
@pytest.mark.parametrize("compiled", COMPILED)
@pytest.mark.parametrize("shape", [(512, 32, 32, 3), (784, 64, 64, 3)])
def test_large_and_nearly_constant_channels_keep_their_digits(shape, compiled):
    """524,288 and 3.2 million values a channel, against float64."""
    rng = np.random.default_rng(0)
    spread = np.array([2.0, 1e-2, 0.1], "float32")
    x = rng.standard_normal(shape, "float32") * spread + np.float32([0.5, 1000, -30])
    g = rng.standard_normal(shape, "float32") + np.float32(0.1)
    gamma, beta = np.float32([0.7, 1.1, 1.9]), np.float32([1.5, 0.5, -1.0])
    epsilon = 1e-5
    by_batch = native.normalization()[0]

    def call(x, gamma, beta):
        return by_batch(x, gamma, beta, epsilon)

    call = compiled_by_xla(call) if compiled else call
    y, mean, variance = call(*(ops.convert_to_tensor(a) for a in (x, gamma, beta)))
    y, mean, variance = (ops.convert_to_numpy(a) for a in (y, mean, variance))
    expected, exact_mean, exact_variance = by_hand(x, gamma, beta, epsilon)
    # A mean near 1000 has no digits beyond 6e-5.
    np.testing.assert_allclose(mean, exact_mean, rtol=1e-7, atol=1e-6)
    np.testing.assert_allclose(variance, exact_variance, rtol=5e-5)
    np.testing.assert_allclose(y, expected, rtol=0, atol=3e-4)
    made = gradients(lambda *tensors: call(*tensors)[0], [x, gamma, beta], g)[1]
    wanted = by_hand_gradients(x, g, gamma, exact_mean, exact_variance, epsilon)
    for got, exact in zip(made, wanted, strict=True):
        # Errors of a sum are as large as its terms allow, not as its result.
        size = np.abs(exact).max() if exact.ndim > 1 else np.sqrt(x[..., 0].size)
        np.testing.assert_allclose(got, exact, rtol=1e-5, atol=3e-5 * size)


def compiled_by_xla(function):
    import tensorflow as tf

    return tf.function(function, jit_compile=True, autograph=False)


def test_one_place_has_variance_zero(norm):
    variance = norm.get_weights()[3]
    y = ops.convert_to_numpy(norm(images((1, 1, 1, 4)), training=True))
    np.testing.assert_allclose(y[0, 0, 0], norm.get_weights()[1], atol=1e-5)
    np.testing.assert_allclose(norm.get_weights()[3], 0.75 * variance, rtol=1e-5)


@pytest.mark.parametrize("compiled", COMPILED)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "bfloat16", "float16"])
def test_normalization_of_16_bits(policy, training, compiled):
    layer = BatchNormalization(epsilon=1e-3, dtype=policy)
    bits = policy.removeprefix("mixed_")
    x = images()
    x[..., 1] = 30 + x[..., 1] / 8
    layer.build(x.shape)

    def call(x):
        return layer(x, training=training)

    y = (compiled_by_xla(call) if compiled else call)(ops.cast(x, bits))
    assert keras.backend.standardize_dtype(y.dtype) == bits
    x = ops.convert_to_numpy(ops.cast(ops.cast(x, bits), "float32"))
    expected = by_hand(x, 1.0, 0.0, 1e-3)[0] if training else x / np.sqrt(1 + 1e-3)
    y = ops.convert_to_numpy(ops.cast(y, "float32"))
    np.testing.assert_allclose(y, expected, rtol=1 / 128 if bits == "bfloat16" else 1e-3, atol=1e-3)
    assert {keras.backend.standardize_dtype(w.dtype) for w in layer.weights} == {
        layer.variable_dtype
    }


@pytest.mark.parametrize(
    ("arguments", "shape"),
    [
        ({"scale": False}, (3, 6, 5, 4)),
        ({"center": False}, (3, 6, 5, 4)),
        ({"axis": 1}, (3, 6, 5, 4)),
        ({"dtype": "float64"}, (3, 6, 5, 4)),
        ({}, (3, 4)),
        ({}, (3, 6, 5, 2, 4)),
    ],
)
def test_what_the_operation_does_not_cover_is_keras(arguments, shape):
    layer = BatchNormalization(**arguments)
    theirs = keras.layers.BatchNormalization(**arguments)
    x = images(shape)
    y, expected = (ops.convert_to_numpy(f(x, training=True)) for f in (layer, theirs))
    np.testing.assert_allclose(y, expected, atol=1e-6)
    for got, wanted in zip(layer.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-6)


def test_masked_places_do_not_count(norm):
    x = images()
    mask = np.ones(x.shape[:3], bool)
    mask[0] = False
    moving_mean = norm.get_weights()[2]
    norm(x, training=True, mask=mask)
    expected = 0.75 * moving_mean + 0.25 * x[1:].mean((0, 1, 2))
    np.testing.assert_allclose(norm.get_weights()[2], expected, rtol=1e-4)


def test_weight_files_of_keras_layers_fit(tmp_path):
    def network(conv, norm):
        inputs = keras.Input((6, 5, 3))
        return keras.Model(inputs, norm()(conv(4, 3)(inputs)))

    theirs = network(keras.layers.Conv2D, keras.layers.BatchNormalization)
    theirs.layers[-1].set_weights(np.random.default_rng(1).uniform(0.5, 2, (4, 4)))
    theirs.save_weights(tmp_path / "of.weights.h5")
    own = network(Conv2D, BatchNormalization)
    own.load_weights(tmp_path / "of.weights.h5")
    x = images((2, 6, 5, 3))
    y, expected = (ops.convert_to_numpy(model(x)) for model in (own, theirs))
    np.testing.assert_allclose(y, expected, atol=1e-5)
