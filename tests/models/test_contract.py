"""What users of `keras.applications` rely on, for every factory."""

import keras
import numpy as np
import pytest

from keras_staa import models
from keras_staa.layers import LIF, STAALIF
from keras_staa.models import FACTORIES
from tests.outside import Chain

WIDTH = 4
# One from outside is held to the same contract.
NETWORKS = {**FACTORIES, "Chain": Chain}
every_factory = pytest.mark.parametrize("name", NETWORKS)


def small(name, **arguments):
    defaults = {"input_shape": (32, 32, 3), "steps": 2, "width": WIDTH, "classes": 7}
    if "input_tensor" in arguments:
        del defaults["input_shape"]
    return NETWORKS[name](**{**defaults, **arguments})


def conv_filters(model):
    convs = [layer.layer for layer in model.layers if hasattr(layer, "layer")]
    convs += model.layers
    convs = [layer for layer in convs if isinstance(layer, keras.layers.Conv2D)]
    return [conv.filters for conv in convs if conv.trainable]


@every_factory
def test_no_top_with_other_channels_and_size(name):
    model = small(name, include_top=False, input_shape=(48, 40, 6))
    batch, steps, *space, channels = model.output_shape
    assert (batch, steps) == (None, 2) and len(space) == 2
    assert channels == max(conv_filters(model))


@every_factory
@pytest.mark.parametrize("pooling", ["avg", "max"])
def test_pooling_gives_one_vector_a_sample(name, pooling):
    model = small(name, include_top=False, pooling=pooling)
    assert model.output_shape == (None, max(conv_filters(model)))


@every_factory
def test_an_input_tensor_becomes_the_start_of_the_network(name):
    image = keras.Input((64, 64, 1))
    resized = keras.layers.Resizing(32, 32)(image)
    model = small(name, input_tensor=resized)
    assert model.input_shape == (None, 64, 64, 1)
    assert model.output_shape == (None, 7)
    assert model.predict(np.zeros((1, 64, 64, 1), "float32"), verbose=0).shape == (1, 7)


@every_factory
def test_frames_set_the_steps(name):
    model = small(name, input_shape=(3, 32, 32, 2), step_logits=True)
    assert model.input_shape == (None, 3, 32, 32, 2)
    assert model.output_shape == (None, 3, 7)


@pytest.mark.heavy
def test_the_activation_of_the_read_out():
    keras.utils.set_random_seed(0)
    logits = small("STAAVGG", classifier_activation=None)
    model = small("STAAVGG")
    model.set_weights(logits.get_weights())
    x = np.random.default_rng(0).random((2, 32, 32, 3)).astype("float32")
    raw = logits.predict(x, verbose=0)
    expected = np.exp(raw) / np.exp(raw).sum(-1, keepdims=True)
    np.testing.assert_allclose(model.predict(x, verbose=0), expected, rtol=1e-5)


@every_factory
def test_the_config_gives_the_same_network_back(name):
    model = small(name)
    again = type(model).from_config(model.get_config())
    assert [layer.name for layer in again.layers] == [layer.name for layer in model.layers]
    assert [w.shape for w in again.weights] == [w.shape for w in model.weights]


@every_factory
def test_width_scales_every_stage(name):
    narrow, wide = small(name), small(name, width=3 * WIDTH)
    assert conv_filters(wide) == [3 * filters for filters in conv_filters(narrow)]


@every_factory
def test_attention_can_be_switched_off(name):
    plain = small(name, attention=False)
    assert not any(isinstance(layer, STAALIF) for layer in plain.layers)
    neurons = [layer for layer in plain.layers if isinstance(layer, LIF)]
    assert neurons and not any(layer.weights for layer in neurons)
    whole = small(name)
    assert len([n for n in whole.layers if isinstance(n, (LIF, STAALIF))]) == len(neurons)


@every_factory
def test_layers_have_telling_names(name):
    for layer in small(name).layers:
        assert layer.name.startswith(
            ("input", "stem", "stage", "repeat_steps", "average_pool", "predictions", "mean_over")
            + ("probabilities", "whitening")
        ), layer.name


@pytest.mark.heavy
def test_images_and_the_same_frames_are_the_same_current():
    """The stem of an image is computed once and repeated: the same as a film that stands still."""
    keras.utils.set_random_seed(0)
    film = small("STAAResNet19", input_shape=(2, 16, 16, 3), neuron={"threshold": 0.1})
    image = small("STAAResNet19", input_shape=(16, 16, 3), neuron={"threshold": 0.1})
    image.set_weights(film.get_weights())
    x = np.random.default_rng(0).random((4, 16, 16, 3)).astype("float32")
    expected = film.predict(np.repeat(x[:, None], 2, axis=1), verbose=0)
    assert np.ptp(expected, axis=0).max() > 1e-5
    np.testing.assert_allclose(image.predict(x, verbose=0), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.heavy
def test_normalization_is_applied_inside():
    keras.utils.set_random_seed(0)
    pairs = [(0.5, 0.25), (0.25, 0.5), (0.1, 2.0)]
    inside = small("STAAVGG", normalization=pairs)
    outside = small("STAAVGG")
    outside.set_weights(inside.get_weights())
    x = np.random.default_rng(0).random((3, 32, 32, 3)).astype("float32")
    mean, deviation = np.array(pairs, "float32").T
    np.testing.assert_allclose(
        inside.predict(x, verbose=0), outside.predict((x - mean) / deviation, verbose=0), rtol=1e-4
    )


def test_a_neuron_of_ones_own_stands_for_every_neuron():
    @keras.saving.register_keras_serializable("tests")
    class Quiet(keras.layers.ReLU):
        pass

    model = models.STAAVGG(width=WIDTH, steps=2, neuron=Quiet(max_value=1.0))
    found = [layer for layer in model.layers if isinstance(layer, Quiet)]
    assert len(found) == 10
    assert len({layer.name for layer in found}) == 10
    assert all(layer.max_value == 1.0 for layer in found)


@pytest.fixture
def channels_first():
    before = keras.config.image_data_format()
    keras.config.set_image_data_format("channels_first")
    yield
    keras.config.set_image_data_format(before)


@every_factory
@pytest.mark.parametrize("pooling", ["avg", "max"])
def test_networks_are_channels_last_whatever_keras_is_set_to(name, pooling, channels_first):
    arguments = {"attention": pooling == "avg", "pooling": pooling, "include_top": False}
    keras.utils.set_random_seed(0)
    here = small(name, neuron={"threshold": 0.1}, **arguments)
    keras.config.set_image_data_format("channels_last")
    there = small(name, neuron={"threshold": 0.1}, **arguments)
    assert [w.shape for w in here.weights] == [w.shape for w in there.weights]
    there.set_weights(here.get_weights())
    x = np.random.default_rng(0).random((2, 32, 32, 3)).astype("float32")
    expected = there.predict(x, verbose=0)
    assert expected.any()
    keras.config.set_image_data_format("channels_first")
    np.testing.assert_array_equal(here.predict(x, verbose=0), expected)


def test_sizes_of_numpy_are_integers():
    shape = np.array([32, 32, 3])
    model = models.STAAVGG(input_shape=shape, steps=np.int32(2), width=np.int64(4))
    assert model.input_shape == (None, 32, 32, 3)
    with pytest.raises(ValueError, match="`input_shape` must be"):
        models.STAAVGG(input_shape=(32, 32, True))
