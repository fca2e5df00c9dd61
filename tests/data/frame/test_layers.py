"""Layers for frames: each result is one that NumPy says is possible, alike in all steps."""

import keras
import numpy as np
import pytest

from keras_staa import data
from keras_staa.data.frame import augment as frame_augment

SHAPE = (3, 8, 11, 2)
LAYERS = {
    "flip": lambda seed=None: data.FrameFlip(seed=seed),
    "roll": lambda seed=None: data.FrameRoll(2, seed=seed),
    "rotation": lambda seed=None: data.FrameRotation(90, seed=seed),
    "cutout": lambda seed=None: data.FrameCutout(3, seed=seed),
    "time": lambda seed=None: data.TimeShift(1, seed=seed),
    "drop": lambda seed=None: data.FrameDrop(0.5, seed=seed),
    "scale": lambda seed=None: data.FrameScale(2.0, seed=seed),
}
COUNT = 400


def sample(seed=0):
    return np.random.default_rng(seed).integers(1, 200, SHAPE).astype("uint8")


def on_backend(layer, frames):
    return keras.ops.convert_to_numpy(layer(frames.astype("float32"), training=True))


def in_numpy(layer, frames):
    found, _ = frame_augment.apply([layer], frames, None, (1, 2))
    assert found.dtype == frames.dtype
    return found


def in_tf_data(layer, frames):
    tf = pytest.importorskip("tensorflow")
    dataset = tf.data.Dataset.from_tensors(frames.astype("float32")).map(layer)
    return next(iter(dataset)).numpy()


WAYS = [on_backend, in_numpy, in_tf_data]


def outputs(name, way, count=COUNT):
    return way(LAYERS[name](1), np.repeat(sample()[None], count, 0))


def assert_equally_often(found, possible):
    counts = [sum(np.array_equal(each, one) for each in found) for one in possible]
    assert sum(counts) == len(found)
    mean, share = len(found) / len(possible), 1 / len(possible)
    assert max(abs(np.array(counts) - mean)) < 5 * np.sqrt(mean * (1 - share))


@pytest.mark.parametrize("way", WAYS)
def test_flip(way):
    assert_equally_often(outputs("flip", way), [sample(), sample()[:, :, ::-1]])


@pytest.mark.parametrize("way", WAYS)
def test_roll(way):
    shifts = [(y, x) for y in range(-2, 3) for x in range(-2, 3)]
    assert_equally_often(outputs("roll", way), [np.roll(sample(), s, (1, 2)) for s in shifts])


@pytest.mark.parametrize("way", WAYS)
def test_time_shift(way):
    zero = np.zeros_like(sample()[:1])
    later, earlier = [zero, sample()[:-1]], [sample()[1:], zero]
    possible = [sample(), np.concatenate(later), np.concatenate(earlier)]
    assert_equally_often(outputs("time", way), possible)


@pytest.mark.parametrize("way", WAYS)
def test_cutout(way):
    possible = []
    for y in range(8):
        for x in range(11):
            possible.append(sample())
            possible[-1][:, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2] = 0
    assert_equally_often(outputs("cutout", way), possible)


@pytest.mark.parametrize("way", WAYS)
def test_rotation_by_every_angle_is_about_the_centre_and_to_the_nearest_pixel(way):
    possible = []
    for angle in np.radians(np.linspace(-90, 90, 7201)):
        y, x = np.mgrid[:8, :11] - np.array([3.5, 5.0])[:, None, None]
        row = np.round(3.5 + np.cos(angle) * y - np.sin(angle) * x).astype(int)
        column = np.round(5 + np.sin(angle) * y + np.cos(angle) * x).astype(int)
        known = (row >= 0) & (row < 8) & (column >= 0) & (column < 11)
        turned = sample()[:, row.clip(0, 7), column.clip(0, 10)] * known[None, :, :, None]
        possible.append(turned.astype("uint8").tobytes())
    found = [each.astype("uint8").tobytes() for each in outputs("rotation", way)]
    # At an angle where a pixel is between two, rounding may go either way.
    assert np.mean([each in set(possible) for each in found]) > 0.95
    assert len(set(found)) > 100


@pytest.mark.parametrize("way", WAYS)
def test_drop(way):
    """One share for a sample, and its counts rounded up or down around the mean."""
    counts = np.full((COUNT, 3, 8, 11, 2), 5, "uint8")
    counts[:, :, :4], counts[:, :, :, :2] = 1, 0
    found = way(data.FrameDrop(0.5, seed=1), counts).astype("float64")
    assert not found[:, :, :, :2].any()
    ones, fives = found[:, :, :4, 2:], found[:, :, 4:, 2:]
    assert set(np.unique(ones)) == {0, 1}
    assert set(np.unique(fives)) == {2, 3, 4, 5}
    ones, fives = (values.reshape(COUNT, -1) for values in (ones, fives))
    assert (fives.max(axis=1) - fives.min(axis=1)).max() == 1
    kept = fives.mean(axis=1) / 5
    # The share of all counts of a sample is the same, within five deviations of 216 draws.
    assert abs(ones.mean(axis=1) - kept).max() < 5 * 0.5 / np.sqrt(216) + 5 * 0.1 / np.sqrt(216)
    # Shares are uniform: the smallest difference of their distribution that 400 draws refute.
    places = np.arange(1, COUNT + 1) / COUNT
    assert abs(np.sort(1 - kept) / 0.5 - places).max() < 0.1


@pytest.mark.parametrize("dtype, channels", [("uint16", 2), ("float32", 2), ("uint8", 3)])
@pytest.mark.parametrize("name", ["flip", "roll", "rotation", "cutout", "time"])
def test_counts_of_any_dtype_move_alike(name, dtype, channels):
    frames = np.repeat(sample()[None], 20, 0)
    frames = np.concatenate([frames, frames[..., :1]], axis=-1)[..., :channels].astype(dtype)
    found = in_numpy(LAYERS[name](1), frames)
    wanted = in_numpy(LAYERS[name](1), np.repeat(sample()[None], 20, 0))
    np.testing.assert_array_equal(found[..., :2], wanted)


@pytest.mark.parametrize("way", [on_backend, in_numpy])
def test_mixup_is_a_share_of_two_samples_and_of_their_labels(way):
    frames = np.stack([np.full(SHAPE, k) for k in range(1, 9)]).astype("uint8")
    labels = np.eye(8, dtype="float32")
    layer = data.FrameMixUp(alpha=1.0, seed=1)
    if way is in_numpy:
        mixed, soft = frame_augment.apply([layer], frames, labels, (1, 2))
    else:
        found = layer({"frames": frames, "labels": labels}, training=True)
        mixed, soft = (keras.ops.convert_to_numpy(found[k]) for k in ("frames", "labels"))
        same = layer({"frames": frames, "labels": labels}, training=False)
        np.testing.assert_array_equal(same["frames"], frames)
    np.testing.assert_allclose(soft.sum(1), 1, rtol=1e-5)
    assert ((soft > 0).sum(1) <= 2).all() and (np.diag(soft) > 0).all()
    assert ((soft > 0).sum(1) == 2).sum() > 3
    expected = soft @ np.arange(1, 9)
    np.testing.assert_allclose(mixed, np.ones(SHAPE) * expected[:, None, None, None, None], 1e-5)


@pytest.mark.parametrize("way", WAYS)
def test_scale(way):
    """One factor for a sample, whose logarithm is uniform."""
    counts = np.repeat(sample()[None], COUNT, 0).astype("float32")
    found = way(data.FrameScale(3.0, seed=1), counts) / counts
    factors = found[:, 0, 0, 0, 0]
    np.testing.assert_allclose(
        found, np.broadcast_to(factors[:, None, None, None, None], found.shape), 1e-5
    )
    places = np.arange(1, COUNT + 1) / COUNT
    assert abs(np.sort(0.5 + np.log(factors) / np.log(9)) - places).max() < 0.1


def test_scaled_counts_are_no_whole_numbers():
    whole, _ = frame_augment.apply([data.FrameScale()], sample()[None], None, (1, 2))
    parts, _ = frame_augment.apply(
        [data.FrameScale()], sample()[None].astype("float32"), None, (1, 2)
    )
    assert whole.dtype == "float32" and (whole % 1).any()
    np.testing.assert_array_equal(whole, parts)


@pytest.mark.parametrize("name", LAYERS)
def test_inside_a_model_saved_and_read_again(name, tmp_path):
    inputs = keras.Input(SHAPE)
    model = keras.Model(inputs, LAYERS[name](1)(inputs))
    assert model.output_shape == (None, *SHAPE)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    batch = np.repeat(sample()[None], 4, 0).astype("float32")
    np.testing.assert_array_equal(again.predict(batch, verbose=0), batch)
    assert again.layers[-1].get_config() == model.layers[-1].get_config()
    found = [keras.ops.convert_to_numpy(each(batch, training=True)) for each in (model, again)]
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: data.FrameRoll(0), "`pixels` must be a positive integer"),
        (lambda: data.FrameRotation(181), "`degrees` must be at most 180"),
        (lambda: data.FrameDrop(1.0), "`share` must be less than 1"),
        (lambda: data.FrameDrop(0), "`share` must be a positive number"),
        (lambda: data.FrameScale(1), "`factor` must be greater than 1"),
        (lambda: data.FrameScale(-2.0), "`factor` must be a positive number"),
        (lambda: data.FrameMixUp(0), "`alpha` must be a positive number"),
        (lambda: data.FrameFlip()(np.ones((2, 3, 4, 2))), "must have rank 5"),
        (lambda: data.FrameMixUp()(np.ones((1, *SHAPE))), "'frames' and 'labels'"),
        (lambda: frame_augment.pipeline("mirror", SHAPE), "`name` must be one of"),
    ],
)
def test_errors_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()
