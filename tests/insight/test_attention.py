"""Attention maps, Grad-CAM and traces against the layers' own results and NumPy."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_staa
from keras_staa import insight
from keras_staa.layers import ALIF, LIF, STAA, GlobalContext, MeanOverSteps, StepAttention

# JAX compiles the network that they share for a minute.
pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).random((5, 12, 12, 3)).astype("float32")


@pytest.fixture(scope="module")
def found(network, images):
    return insight.attention_maps(network, images, batch_size=2)


def numpy(x):
    return keras.ops.convert_to_numpy(keras.ops.stop_gradient(x))


def test_gates_are_those_that_the_layer_applies(network, images, found):
    layer = network.get_layer("stage2_block1_1_neuron")
    one = found.layers[layer.name]
    current = keras.Model(network.inputs, layer.input)(keras.ops.convert_to_tensor(images))
    _, gate, encoding, _ = layer.staa.gates(current)
    product = one.channel_gate * one.step_gate[..., None]
    np.testing.assert_allclose(product, numpy(gate), rtol=1e-4)
    np.testing.assert_allclose(one.position, numpy(encoding), rtol=1e-5, atol=1e-6)
    encoded = numpy(current) + one.position
    logits = encoded @ numpy(layer.staa.context.query())
    weights = np.exp(logits) / np.exp(logits).sum(axis=(2, 3), keepdims=True)
    np.testing.assert_allclose(one.attention, weights, rtol=1e-4)
    np.testing.assert_allclose(one.attention.sum(axis=(2, 3)), 1, rtol=1e-5)


def test_shapes_and_outputs(network, images, found):
    assert len(found.layers) == 16
    one = found.layers["stage4_block2_2_neuron"]
    shapes = [getattr(one, n).shape for n in ("attention", "channel_gate", "step_gate", "position")]
    assert shapes == [(5, 3, 2, 2), (5, 3, 32), (5, 3), (3, 2, 2, 32)]
    np.testing.assert_allclose(found.outputs, network.predict(images, verbose=0), rtol=1e-4)
    np.testing.assert_array_equal(found.classes, found.outputs.argmax(axis=-1))


def test_grad_cam_is_the_weighted_sum_of_maps(network, images):
    """The read-out is linear: a channel's weight is that of the Dense layer, over places."""
    found = insight.attention_maps(network, images, classes=2)
    end = network.get_layer("stage4_block2_2_neuron").output
    spikes = numpy(keras.Model(network.inputs, end)(keras.ops.convert_to_tensor(images)))
    kernel = numpy(network.get_layer("predictions").kernel)
    expected = np.maximum(spikes @ kernel[:, 2], 0)
    top = expected.max(axis=(1, 2, 3), keepdims=True)
    np.testing.assert_allclose(found.grad_cam, expected / np.where(top > 0, top, 1), atol=1e-5)
    assert found.grad_cam.max() == 1
    assert (found.classes == 2).all()
    # One class for each image.
    each = insight.attention_maps(network, images, classes=[2, 0, 2, 1, 4], layers=[])
    assert not each.layers
    np.testing.assert_allclose(each.grad_cam[[0, 2]], found.grad_cam[[0, 2]], atol=1e-6)
    assert not np.allclose(each.grad_cam[1], found.grad_cam[1])


def test_one_layer_by_name(network, images, found):
    one = insight.attention_maps(network, images, layers="stage1_block1_1_neuron")
    assert list(one.layers) == ["stage1_block1_1_neuron"]
    expected = found.layers["stage1_block1_1_neuron"].attention
    np.testing.assert_allclose(one.layers["stage1_block1_1_neuron"].attention, expected, rtol=1e-4)


def test_parts_alone():
    x = np.random.default_rng(0).random((2, 3, 4, 4, 8)).astype("float32")
    model = keras.Sequential(
        [
            keras.Input(x.shape[1:]),
            GlobalContext(name="context"),
            StepAttention(name="step"),
            STAA(position=None, step_gate=False, name="staa"),
        ]
    )
    found = insight.attention_maps(model, x)
    parts = {
        name: {part for part, value in vars(one).items() if value is not None}
        for name, one in found.layers.items()
    }
    assert parts == {
        "context": {"attention", "channel_gate"},
        "step": {"step_gate"},
        "staa": {"attention", "channel_gate"},
    }
    assert found.grad_cam is None and found.classes is None


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            {"layers": ["stage1_block1_1_neurom"]},
            "with an aggregator, such as 'stage1_block1_1_neuron'",
        ),
        ({"layers": ["stem_neuron"]}, "with an aggregator"),
        ({"classes": 5}, "from 0 to 4"),
        ({"classes": [0.5]}, "from 0 to 4"),
        ({"images": np.zeros((1, 12, 11, 3))}, r"\(12, 12, 3\)"),
        ({"images": np.full((1, 12, 12, 3), np.inf)}, "finite"),
        ({"images": np.zeros((0, 12, 12, 3))}, "`images` must have samples. Received: none"),
        ({"batch_size": 0}, "`batch_size` must be a positive integer"),
    ],
)
def test_errors(arguments, message, network, images):
    with pytest.raises(ValueError, match=message):
        insight.attention_maps(network, **{"images": images, **arguments})


def test_networks_without_aggregators(images):
    model = keras_staa.STAAVGG(width=8, attention=False)
    with pytest.raises(ValueError, match="must have an aggregator"):
        insight.attention_maps(model, images)


def stacked(neuron):
    return keras.Sequential([keras.Input((4, 2, 2, 3)), neuron, MeanOverSteps(), layers.Flatten()])


def test_potentials_are_those_of_the_equations():
    x = np.random.default_rng(0).normal(0.6, 0.8, (2, 4, 2, 2, 3)).astype("float32")
    model = stacked(LIF(name="lif", threshold=0.8, decay=0.5))
    places = [(0, 0, 0), (1, 0, 2)]
    found = insight.trace(model, x, "lif", places)
    assert found.neurons == places and found.threshold == 0.8
    h, expected = 0, []
    for t in range(4):
        v = 0.5 * h + x[:, t]
        expected.append((v, v >= 0.8))
        h = np.where(v >= 0.8, 0, v)
    for i, (row, column, channel) in enumerate(places):
        for t, (v, s) in enumerate(expected):
            np.testing.assert_allclose(
                found.potential[:, t, i], v[:, row, column, channel], rtol=1e-5
            )
            np.testing.assert_array_equal(found.spikes[:, t, i], s[:, row, column, channel])
        np.testing.assert_array_equal(found.current[:, :, i], x[:, :, row, column, channel])


def test_spikes_are_those_of_the_network(network, images):
    for name in ("stem_neuron", "stage2_block1_1_neuron"):
        end = network.get_layer(name).output
        spikes = numpy(keras.Model(network.inputs, end)(keras.ops.convert_to_tensor(images)))
        found = insight.trace(network, images, name, neurons=6)
        assert len(found.neurons) == 6 and found.neurons[0] == (0, 0, 0)
        for i, place in enumerate(found.neurons):
            np.testing.assert_array_equal(found.spikes[:, :, i], spikes[(..., *place)])
        np.testing.assert_array_equal(found.potential >= found.threshold, found.spikes == 1)


def test_neurons_with_a_threshold_that_moves():
    x = np.full((1, 4, 2, 2, 3), 1.2, "float32")
    found = insight.trace(stacked(ALIF(name="alif")), x, "alif", neurons=1)
    np.testing.assert_array_equal(found.potential >= 1.0, found.spikes == 1)
    assert found.spikes.sum() > 0


@pytest.mark.parametrize(
    "layer, neurons, message",
    [
        ("lin", 1, "a layer of neurons, such as 'lif'"),
        ("lif", [(0, 0)], r"places in \(2, 2, 3\)"),
        ("lif", [(0, 2, 0)], r"places in \(2, 2, 3\)"),
        ("lif", 0, "must be a number of neurons"),
    ],
)
def test_errors_of_traces(layer, neurons, message):
    x = np.zeros((1, 4, 2, 2, 3), "float32")
    with pytest.raises(ValueError, match=message):
        insight.trace(stacked(LIF(name="lif")), x, layer, neurons)
