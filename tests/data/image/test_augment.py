"""Augmentation: a draw for each image, against what NumPy says the results can be."""

import keras
import numpy as np
import pytest

from keras_staa.data import (
    Cutout,
    RandomChoice,
    RandomGaussianNoise,
    RandomJPEG,
    random_crop,
)
from keras_staa.data.image import augment

LAYERS = {
    "crop": lambda shape, seed: random_crop(shape, seed=seed),
    "flip": lambda shape, seed: augment.pipeline("standard", shape, seed=seed).layers[1],
    "cutout": lambda shape, seed: Cutout(size=6, seed=seed),
    "noise": lambda shape, seed: RandomGaussianNoise(0.1, seed=seed),
    "jpeg": lambda shape, seed: RandomJPEG((20, 100), seed=seed),
    "choice": lambda shape, seed: RandomChoice(
        [
            keras.layers.RandomBrightness(0.5, value_range=(0, 1), seed=seed),
            keras.layers.RandomContrast((0.5, 0.5), value_range=(0, 1), seed=seed),
        ],
        seed=seed,
    ),
    **{
        name: lambda shape, seed, name=name: augment.pipeline(name, shape, seed=seed)
        for name in augment.POLICIES
    },
}
SHAPE = (12, 20, 3)
# Equalization becomes thousands of operations of a tf.data graph: "strong" goes there seldom.
QUICK = [name for name in LAYERS if name != "strong"]


def picture(shape=SHAPE, seed=0):
    # Away from 0, the value of what is filled in.
    return np.random.default_rng(seed).uniform(0.1, 1.0, shape).astype("float32")


def draw(layer, image, count):
    batch = np.repeat(image[None], count, 0)
    return keras.ops.convert_to_numpy(layer(batch, training=True))


def draw_in_tf_data(layer, image, count):
    tf = pytest.importorskip("tensorflow")
    dataset = tf.data.Dataset.from_tensors(np.repeat(image[None], count, 0)).map(layer)
    return next(iter(dataset)).numpy()


def distinct(batch):
    return len({image.tobytes() for image in batch})


def within_chance(count, total, probability):
    """Whether a count is within five standard deviations of the binomial's mean."""
    deviation = np.sqrt(total * probability * (1 - probability))
    return abs(count - total * probability) < 5 * deviation


@pytest.mark.parametrize(
    ("name", "draw"),
    [(name, draw) for name in QUICK]
    + [(name, draw_in_tf_data) for name in QUICK]
    + [pytest.param("strong", draw, marks=pytest.mark.slow)],
)
def test_each_image_of_a_batch_gets_its_own_draw(name, draw):
    outputs = draw(LAYERS[name](SHAPE, 1), picture(), 64)
    assert outputs.shape == (64, *SHAPE)
    # A flip has two results; of the 81 crops 64 draws show 44 on average.
    assert distinct(outputs) >= (2 if name == "flip" else 30)


@pytest.mark.parametrize("draw", [draw, draw_in_tf_data], ids=["eager", "tf.data"])
def test_crop_is_every_shift_of_the_padded_image_equally_often(draw):
    image = picture()
    padded = np.pad(image, ((4, 4), (4, 4), (0, 0)))
    shifts = {
        padded[i : i + SHAPE[0], j : j + SHAPE[1]].tobytes(): (i, j)
        for i in range(9)
        for j in range(9)
    }
    total = 3000
    seen = [shifts[output.tobytes()] for output in draw(random_crop(SHAPE, seed=2), image, total)]
    assert len(set(seen)) == 81
    for axis in (0, 1):
        counts = np.bincount([shift[axis] for shift in seen], minlength=9)
        assert all(within_chance(count, total, 1 / 9) for count in counts), counts


@pytest.mark.parametrize("padding", [1, 7])
def test_crop_takes_another_padding(padding):
    image = picture()
    padded = np.pad(image, ((padding, padding), (padding, padding), (0, 0)))
    both = range(2 * padding + 1)
    shifts = {padded[i : i + SHAPE[0], j : j + SHAPE[1]].tobytes() for i in both for j in both}
    outputs = draw(random_crop(SHAPE, padding=padding, seed=2), image, 200)
    assert all(output.tobytes() in shifts for output in outputs)
    assert distinct(outputs) > min(len(shifts), 100) - 2


def test_flip_is_the_mirror_image_half_the_time():
    image = picture()
    outputs = draw(LAYERS["flip"](SHAPE, 3), image, 1000)
    mirrored = sum(np.array_equal(output, image[:, ::-1]) for output in outputs)
    unchanged = sum(np.array_equal(output, image) for output in outputs)
    assert mirrored + unchanged == 1000
    assert within_chance(mirrored, 1000, 0.5)


@pytest.mark.parametrize("size", [6, 5])
@pytest.mark.parametrize("draw", [draw, draw_in_tf_data], ids=["eager", "tf.data"])
def test_cutout_is_a_square_with_its_centre_anywhere(draw, size):
    image, total = picture(), 2000
    outputs = draw(Cutout(size=size, fill_value=2.0, seed=4), image, total)
    spans = [[], []]
    for output in outputs:
        erased = np.all(output == 2.0, axis=-1)
        assert np.array_equal(output[~erased], image[~erased])
        rows, columns = np.flatnonzero(erased.any(1)), np.flatnonzero(erased.any(0))
        assert erased.sum() == len(rows) * len(columns)
        for found, line in zip(spans, (rows, columns), strict=True):
            found.append((line[0], line[-1] + 1))
    for found, length in zip(spans, SHAPE, strict=False):
        # Each centre leaves other bounds, clipped at the border.
        possible = [
            (max(0, centre - size // 2), min(length, centre - size // 2 + size))
            for centre in range(length)
        ]
        assert set(found) == set(possible)
        for span in possible:
            assert within_chance(found.count(span), total, 1 / length), span


@pytest.mark.parametrize("draw", [draw, draw_in_tf_data], ids=["eager", "tf.data"])
def test_choice_takes_each_layer_or_none_equally_often(draw):
    layer = RandomChoice([keras.layers.Rescaling(0.5), keras.layers.Rescaling(4.0)], seed=5)
    image, total = picture(), 1500
    outputs = draw(layer, image, total)
    for factor in (1.0, 0.5, 4.0):
        count = sum(np.array_equal(output, image * factor) for output in outputs)
        assert within_chance(count, total, 1 / 3), factor


@pytest.mark.parametrize("name", LAYERS)
def test_inference_is_the_identity(name):
    batch = np.stack([picture(seed=seed) for seed in range(4)])
    outputs = LAYERS[name](SHAPE, 1)(batch, training=False)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(outputs), batch)


@pytest.mark.parametrize(
    ("name", "shape"),
    [(name, shape) for name in QUICK for shape in [(20, 12, 3), (16, 24, 1)]]
    + [("strong", (24, 16, 1))],
)
def test_any_size_and_one_channel(name, shape):
    outputs = draw_in_tf_data(LAYERS[name](shape, 1), picture(shape), 64)
    assert outputs.shape == (64, *shape)
    assert outputs.dtype == np.float32
    assert distinct(outputs) > 1


@pytest.mark.parametrize("name", augment.POLICIES)
def test_values_stay_between_0_and_1(name):
    images = [np.zeros(SHAPE), np.ones(SHAPE), np.linspace(0, 1, 720).reshape(SHAPE), picture()]
    batch = np.repeat(np.stack(images).astype("float32"), 64, 0)
    tf = pytest.importorskip("tensorflow")
    dataset = tf.data.Dataset.from_tensors(batch).map(LAYERS[name](SHAPE, 1))
    outputs = next(iter(dataset)).numpy()
    assert distinct(outputs[-64:]) > 30
    assert np.all(np.isfinite(outputs))
    # Interpolation weights add up to 1 but for rounding.
    assert outputs.min() >= -1e-6 and outputs.max() <= 1 + 1e-6


@pytest.mark.heavy
def test_strong_policy_uses_every_operation():
    # Each operation leaves the picture changed in its own way, so that with one of them missing
    # or stuck the share of unchanged pictures would be another than 1 in 13.
    operations = augment.pipeline("strong", SHAPE, seed=6).layers[2]
    assert len(operations.layers) == 12
    ramp = np.linspace(0.3, 0.7, 240).reshape(*SHAPE[:2], 1)
    smooth = (ramp * [1.0, 0.8, 0.6]).astype("float32")
    total = 650
    for operation in operations.layers:
        # One batch size throughout: JAX compiles for each.
        assert not np.allclose(draw(operation, smooth, total), smooth, atol=1e-3)
    outputs = draw(operations, smooth, total)
    unchanged = sum(np.array_equal(output, smooth) for output in outputs)
    assert within_chance(unchanged, total, 1 / 13)


@pytest.mark.parametrize("name", ["cutout", "choice", "noise", "jpeg"])
def test_one_image_without_a_batch(name):
    image = picture()
    layer = LAYERS[name](SHAPE, 7)
    outputs = [keras.ops.convert_to_numpy(layer(image, training=True)) for _ in range(20)]
    assert outputs[0].shape == SHAPE
    assert distinct(outputs) > 5


# The policy of many layers takes longest and is run by `make test-full` alone.
MOST = [pytest.param(n, marks=pytest.mark.slow) if n == "strong" else n for n in LAYERS]


@pytest.mark.parametrize("name", MOST)
def test_the_seed_fixes_the_draws(name):
    first, again, other = (draw(LAYERS[name](SHAPE, seed), picture(), 32) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_layers_of_a_pipeline_draw_independently():
    crop, flip = augment.pipeline("standard", SHAPE, seed=1).layers
    assert crop.seed != flip.seed
    assert all(layer.seed is None for layer in augment.pipeline("standard", SHAPE).layers)


@pytest.mark.parametrize("name", LAYERS)
def test_config_round_trip(name):
    layer = LAYERS[name](SHAPE, 1)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(again) is type(layer)
    assert again.get_config() == layer.get_config()
    np.testing.assert_array_equal(draw(again, picture(), 8), draw(layer, picture(), 8))


@pytest.mark.parametrize("name", MOST)
def test_saved_inside_a_model(name, tmp_path):
    inputs = keras.Input(SHAPE)
    model = keras.Model(inputs, LAYERS[name](SHAPE, 1)(inputs))
    assert model.output_shape == (None, *SHAPE)
    batch = np.repeat(picture()[None], 8, 0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.predict(batch, verbose=0), batch)
    # Keras stores no layer's place in its draws, only the seed: both begin at the first.
    outputs = [keras.ops.convert_to_numpy(m(batch, training=True)) for m in (model, again)]
    np.testing.assert_array_equal(*outputs)


def test_trains_inside_a_compiled_model():
    layers = [
        keras.Input(SHAPE),
        RandomChoice([keras.layers.Rescaling(0.5)], seed=1),
        Cutout(4, seed=1),
        keras.layers.Flatten(),
        keras.layers.Dense(2),
    ]
    model = keras.Sequential(layers)
    compiled = keras.backend.backend() != "torch"
    model.compile("sgd", "mse", jit_compile=compiled)
    before = keras.ops.convert_to_numpy(layers[2].generator.state)
    model.fit(np.ones((6, *SHAPE)), np.ones((6, 2)), batch_size=3, verbose=0)
    # A seed that did not move would repeat one draw for ever.
    assert not np.array_equal(keras.ops.convert_to_numpy(layers[2].generator.state), before)


def test_policies_compute_in_float32_under_mixed_precision():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        layer = augment.pipeline("standard", SHAPE, seed=1)
        outputs = draw_in_tf_data(layer, picture(), 8)
    finally:
        keras.config.set_dtype_policy(policy)
    assert outputs.dtype == np.float32
    # bfloat16 would leave eight bits of the values.
    assert set(outputs.ravel().tolist()) <= {0.0, *picture().ravel().tolist()}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: augment.pipeline("mirror", SHAPE), r"`name` must be one of \['crop', 'standard'"),
        (lambda: random_crop(SHAPE, padding=0), "`padding` must be a positive integer"),
        (lambda: random_crop(SHAPE, padding=12), "`padding` must be smaller.*padding=12"),
        (lambda: Cutout(size=0), "`size` must be a positive integer. Received: size=0"),
        (lambda: RandomChoice([]), "`layers` must be a non-empty list of Keras layers"),
        (lambda: RandomChoice(["flip"]), r"`layers` must be.*Received: layers=\['flip'\]"),
        (lambda: Cutout()(np.ones((2, 2))), "must have rank 3.*or 4"),
        (lambda: RandomChoice([Cutout()])(np.ones((1, 1, 2, 2, 3))), "must have rank 3.*or 4"),
    ],
)
def test_errors_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()
