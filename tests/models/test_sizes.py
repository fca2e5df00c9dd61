"""Networks for batches of no samples and for images of sizes that only the call knows."""

import keras
import numpy as np
import pytest

from keras_staa import zoo
from keras_staa.layers import (
    LIF,
    STAALIF,
    BatchNormalization,
    Conv2D,
    MeanOverSteps,
    PerStep,
    RepeatSteps,
)
from keras_staa.models import FACTORIES, STAAVGG, STAACompact

OTHERS = [pytest.param(name, marks=pytest.mark.slow) for name in FACTORIES if name != "STAAVGG"]
every_factory = pytest.mark.parametrize("name", ["STAAVGG", *OTHERS])


@every_factory
@pytest.mark.heavy
def test_no_samples_give_no_results(name):
    model = FACTORIES[name](steps=2, width=4, classes=7, input_shape=(32, 32, 3))
    assert tuple(model(np.zeros((0, 32, 32, 3), "float32"), training=False).shape) == (0, 7)


@pytest.mark.heavy
def test_no_frames_give_no_results():
    model = STAAVGG(width=4, input_shape=(3, 32, 32, 2), step_logits=True)
    assert tuple(model(np.zeros((0, 3, 32, 32, 2), "float32")).shape) == (0, 3, 10)


@pytest.mark.heavy
def test_no_images_for_a_preset():
    model = zoo.load("cifar10")
    nothing = np.zeros((0, 32, 32, 3), "float32")
    assert tuple(model(nothing, training=False).shape) == (0, 10)
    assert model.predict_on_batch(nothing).shape == (0, 10)


PLAIN = {"steps": 2, "width": 4, "classes": 3, "neuron": {"threshold": 0.1}}
ANYWHERE = {"off": False, "no-position": {"position": None}}


def pair(name, shape, **arguments):
    """A network for any size and one for this, of equal weights."""
    free_shape = (*shape[:-3], None, None, shape[-1])
    free, fixed = (
        FACTORIES[name](input_shape=s, **{**PLAIN, **arguments}) for s in (free_shape, shape)
    )
    assert free.input_shape == (None, *free_shape)
    fixed.set_weights(free.get_weights())
    return free, fixed


def outputs(*models, shape, samples=2):
    x = np.random.default_rng(0).random((samples, *shape)).astype("float32")
    got = [model.predict(x, verbose=0) for model in models]
    assert got[0].any()
    return got


@every_factory
@pytest.mark.parametrize("attention", ANYWHERE)
def test_images_of_any_size_without_the_top(name, attention):
    shape = (32, 48, 3)
    free, fixed = pair(name, shape, attention=ANYWHERE[attention], include_top=False)
    np.testing.assert_allclose(*outputs(free, fixed, shape=shape), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("pooling", ["steps", "avg", "max", "top"])
@pytest.mark.heavy
def test_one_network_for_images_of_several_sizes(pooling):
    top = {"include_top": True} if pooling == "top" else {"include_top": False, "pooling": pooling}
    shapes = (32, 32, 3), (40, 56, 3)
    free, _ = pair("STAAVGG", shapes[0], attention={"position": None}, **top)
    for shape in shapes:
        fixed = STAAVGG(input_shape=shape, **PLAIN, attention={"position": None}, **top)
        fixed.set_weights(free.get_weights())
        np.testing.assert_allclose(*outputs(free, fixed, shape=shape), rtol=1e-5, atol=1e-6)


@pytest.mark.heavy
def test_frames_of_any_size():
    shape = (3, 32, 40, 2)
    free, fixed = pair("STAAVGG", shape, attention={"position": None}, step_logits=True)
    np.testing.assert_allclose(*outputs(free, fixed, shape=shape), rtol=1e-5, atol=1e-6)


@every_factory
@pytest.mark.parametrize("attention", [True, {"position": "full"}, {"position": "sinusoidal"}])
def test_positions_need_sizes(name, attention):
    with pytest.raises(ValueError) as error:
        FACTORIES[name](input_shape=(None, None, 3), include_top=False, attention=attention)
    for part in ("`input_shape` must have a height and a width", "'position': None", "None, 3)"):
        assert part in str(error.value)


@pytest.mark.parametrize("shape", [(None, 32, 32, 3), (32, 32, None), (None, None)])
def test_steps_and_channels_must_be_known(shape):
    with pytest.raises(ValueError, match="`input_shape` must be"):
        STAAVGG(input_shape=shape, attention=False)


@pytest.mark.parametrize("name", sorted(FACTORIES))
def test_images_too_small_for_a_network_are_told_by_their_argument(name):
    for size in (1, 2, 5, 8, 12):
        for shape in ((size, 40, 3), (40, size, 3), (2, size, size, 3)):
            try:
                FACTORIES[name](input_shape=shape, width=4, steps=2, weights=None)
            except ValueError as error:
                assert str(error).startswith("`input_shape` must have a height and a width of at l")


@pytest.mark.parametrize("strides", [1, 2, 3])
def test_the_smallest_images_of_a_compact_network(strides):
    least = 9 * strides
    shape = (least, least + 3, 3)
    model = STAACompact(input_shape=shape, width=4, steps=1, stem_strides=strides, classes=2)
    assert model(np.zeros((1, *shape), "float32")).shape == (1, 2)
    with pytest.raises(ValueError, match=f"at least {least}. Received: input_shape="):
        STAACompact(input_shape=(40, least - 1, 3), width=4, steps=1, stem_strides=strides)


# Shapes of the input, and what a data set says of a batch of them.
UNKNOWN = {
    "images": ((8, 8, 3), (None, None, None, 3)),
    "frames": ((2, 8, 8, 3), (None, None, None, None, 3)),
}


def two_layers(shape, attention):
    """A network of one convolution and its neurons: programs are made in seconds."""
    inputs = keras.Input(shape)
    x = RepeatSteps(2)(inputs) if len(shape) == 3 else inputs
    x = PerStep(Conv2D(4, 3, padding="same"))(x)
    x = PerStep(BatchNormalization())(x)
    x = (STAALIF(ratio=1, bypass_rate=0.0) if attention else LIF(learn=True))(x)
    x = PerStep(keras.layers.GlobalAveragePooling2D("channels_last"))(x)
    return keras.Model(inputs, keras.layers.Dense(1)(MeanOverSteps()(x)))


@pytest.mark.parametrize("attention", [True, False])
@pytest.mark.parametrize("what", UNKNOWN)
def test_data_sets_that_do_not_say_their_sizes(what, attention):
    import tensorflow as tf

    shape, said = UNKNOWN[what]
    x = np.random.default_rng(0).random((4, *shape)).astype("float32")
    y = np.arange(4, dtype="float32")[:, None]
    results = []
    for known in (False, True):
        keras.utils.set_random_seed(0)
        model = two_layers(shape, attention)
        model.compile(keras.optimizers.SGD(0.1), "mse")
        data = tf.data.Dataset.from_tensors((x, y))
        if not known:
            spec = tf.TensorSpec(said, "float32"), tf.TensorSpec((None, 1), "float32")
            data = tf.data.Dataset.from_generator(lambda: [(x, y)], output_signature=spec)
        model.fit(data, verbose=0)
        results.append([model.predict(data, verbose=0), *model.get_weights()])
    for got, expected in zip(*results, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_a_preset_of_a_network_for_any_size(tmp_path):
    free, _ = pair("STAAVGG", (32, 32, 3), attention={"position": None})
    names = ["a", "b", "c"]
    zoo.save(free, tmp_path / "any", data_set="none", class_names=names, dtype="float32")
    loaded = zoo.load(tmp_path / "any")
    assert loaded.input_shape == (None, None, None, 3)
    np.testing.assert_array_equal(*outputs(free, loaded, shape=(32, 40, 3)))
