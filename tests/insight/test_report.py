"""`insight.report` against counts over every connection, one by one."""

import itertools
import json

import keras
import numpy as np
import pytest
from keras import layers

import keras_staa
from keras_staa import insight
from keras_staa.insight import connections
from keras_staa.layers import LIF, Conv2D, MeanOverSteps, PerStep, RepeatSteps


def brute_force(x, layer):
    """Count the products of a convolution or Dense layer that have no zero in them.

    Args:
        x: array (B, H, W, C) or (B, C).
        layer: the layer, with its kernel.
    """
    if isinstance(layer, keras.layers.Dense):
        return int((x != 0).sum()) * layer.units
    (rows, columns), (down, right) = layer.kernel_size, layer.strides
    _, height, width, channels = x.shape
    out = layer.compute_output_shape(x.shape)
    top = left = 0
    if layer.padding == "same":
        top = max((out[1] - 1) * down + rows - height, 0) // 2
        left = max((out[2] - 1) * right + columns - width, 0) // 2
    total = 0
    places = itertools.product(*(range(n) for n in (out[1], out[2], rows, columns)))
    for i, j, k, m in places:
        row, column = i * down + k - top, j * right + m - left
        if 0 <= row < height and 0 <= column < width:
            total += int((x[:, row, column] != 0).sum()) * (layer.filters // layer.groups)
    return total


def inputs_of(model, names, x):
    """What goes into layers of a model."""
    probe = keras.Model(model.inputs, [model.get_layer(name).input for name in names])
    found = probe(keras.ops.convert_to_tensor(x))
    return [keras.ops.convert_to_numpy(keras.ops.stop_gradient(tensor)) for tensor in found]


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).random((6, 12, 12, 3)).astype("float32")


@pytest.fixture(scope="module")
def found(network, images):
    return insight.report(network, images, batch_size=4, verbose=0)


@pytest.mark.heavy
def test_operations_are_those_of_every_connection(network, images, found):
    rows = [row for row in found.layers if row.kind == "weights"]
    assert len(rows) == 21
    names = [row.name for row in rows]
    binary = 0
    for row, x in zip(rows, inputs_of(network, names, images), strict=True):
        layer = connections_of(network.get_layer(row.name))
        x = x.reshape(-1, *x.shape[2:]) if row.steps == 3 else x
        ones = np.ones_like(x)
        if row.input == "binary":
            binary += 1
            assert set(np.unique(x)) <= {0, 1}
            assert row.sops * 6 == brute_force(x, layer), row.name
            assert row.macs == 0
        else:
            assert row.sops == 0
            assert row.macs * 6 == brute_force(ones, layer), row.name
        assert row.relu_macs * 6 * row.steps == brute_force(ones, layer)
    # All but the stem and what reads a mean over space.
    assert binary == 19
    assert found.sops == sum(row.sops for row in rows)


def connections_of(layer):
    return layer.layer if isinstance(layer, PerStep) else layer


@pytest.mark.heavy
def test_firing_rates_are_those_of_the_spikes(network, images, found):
    rows = [row for row in found.layers if row.kind == "neurons"]
    probe = keras.Model(network.inputs, [network.get_layer(row.name).output for row in rows])
    spikes = probe.predict(images, verbose=0)
    for row, s in zip(rows, spikes, strict=True):
        assert row.neurons == s[0, 0].size and row.steps == 3
        np.testing.assert_allclose(row.firing_rate, s.mean(), rtol=1e-6)
        np.testing.assert_allclose(row.rates, s.mean(axis=(0, 2, 3, 4)), rtol=1e-6)
        assert row.silent == (s.sum(axis=(0, 1)) == 0).mean()
        assert row.saturated == (s.sum(axis=(0, 1)) == 18).mean()
    values = sum(s.sum() for s in spikes)
    np.testing.assert_allclose(found.firing_rate, values / sum(s.size for s in spikes), rtol=1e-6)


@pytest.mark.heavy
def test_stages_add_up(found):
    stages = found.stages()
    assert [stage.name for stage in stages] == [
        "stem",
        "stage1",
        "stage2",
        "stage3",
        "stage4",
        "head",
    ]
    assert sum(stage.neurons for stage in stages) == found.neurons
    assert sum(stage.sops for stage in stages) == pytest.approx(found.sops)
    assert sum(stage.energy for stage in stages) == pytest.approx(found.energy)


def small(**neuron):
    """A layer of neurons between two of weights."""
    return keras.Sequential(
        [
            keras.Input((2, 2, 1)),
            RepeatSteps(4, name="repeat"),
            PerStep(Conv2D(1, 1, kernel_initializer="ones", use_bias=False), name="first"),
            LIF(name="neuron", **neuron),
            PerStep(Conv2D(3, 2, padding="same"), name="second"),
            MeanOverSteps(),
            layers.Flatten(),
            layers.Dense(2, name="dense"),
        ]
    )


def test_a_network_by_hand():
    """Neurons with M = 0: those with a current of 1 fire in each step, the others never."""
    x = np.array([[1, 0], [0, 0.5]], "float32").reshape(1, 2, 2, 1)
    found = insight.report(small(decay=0.0), x, verbose=0)
    first, neuron, second, dense = found.layers
    assert (first.input, first.macs, first.relu_macs) == ("real", 16, 4)
    assert (neuron.firing_rate, neuron.silent, neuron.saturated) == (0.25, 0.75, 0.25)
    # The first place reaches one output, the last one all four: padding is behind.
    assert (second.input, second.sops, second.relu_macs) == ("binary", 4 * 3, 9 * 3)
    assert (dense.input, dense.macs, dense.steps) == ("real", 12 * 2, 1)
    assert found.energy == pytest.approx(((16 + 24) * 4.6 + 12 * 0.9) * 1e-9)
    assert found.relu_energy == pytest.approx((4 + 27 + 24) * 4.6e-9)
    assert found.ratio == pytest.approx(found.energy / found.relu_energy)


def test_memory_counts_and_may_turn_the_ratio():
    x = np.full((1, 2, 2, 1), 0.5, "float32")
    model = small(threshold=0.4)
    alone = insight.report(model, x, verbose=0)
    found = insight.report(model, x, memory=True, energy_byte=10.0, verbose=0)
    first, neuron, second, dense = found.layers
    # Four steps, each with the weights and four real numbers.
    assert (first.bytes, first.relu_bytes) == (4 * (1 + 4) * 4, (1 + 4 + 4) * 4)
    # Four steps of four neurons: potentials read and written, and spikes.
    assert neuron.bytes == 16 * 8.125
    assert (second.bytes, second.relu_bytes) == (4 * (15 * 4 + 0.5), (15 + 4 + 12) * 4)
    assert (dense.bytes, dense.relu_bytes) == ((26 + 12) * 4, (26 + 12 + 2) * 4)
    assert found.energy == pytest.approx(alone.energy + found.bytes * 10e-9)
    assert found.ratio > 1 and "takes more energy" in str(found)


def test_frames_take_a_pass_of_the_relu_network_each():
    model = keras_staa.STAAVGG(width=8, input_shape=(3, 32, 32, 2), classes=3)
    x = np.random.default_rng(0).integers(0, 2, (2, 3, 32, 32, 2)).astype("float32")
    found = insight.report(model, x, verbose=0)
    stem = found.layers[0]
    # Frames of zeros and ones are spikes.
    assert stem.input == "binary" and stem.steps == 3
    # 9 products a place and channel, less those beyond the edges.
    products = (32 * 3 - 2) ** 2 * 2 * 8
    assert stem.relu_macs == 3 * products


@pytest.mark.parametrize(
    "layer, size",
    [
        (layers.Conv1D(4, 3, padding="causal", dilation_rate=2), (7,)),
        (layers.Conv2D(6, (3, 2), strides=(2, 1), groups=2), (7, 6)),
        (layers.Conv2D(2, 5, strides=3, padding="same"), (7, 6)),
        (layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same"), (5, 4)),
        (layers.Conv3D(2, 2, padding="valid"), (3, 4, 3)),
        (layers.Dense(7), (2, 3)),
    ],
)
def test_the_fan_out_is_the_sum_of_ones(layer, size):
    """With kernels of ones, an input of one gives the number of outputs that it reaches."""
    channels = 4
    layer.build((None, *size, channels))
    layer.set_weights(
        [np.ones(w.shape) if len(w.shape) > 1 else np.zeros(w.shape) for w in layer.weights]
    )
    found = connections.fan_out(layer, size)
    for place in np.ndindex(*size):
        x = np.zeros((1, *size, channels), "float32")
        x[(0, *place, 0)] = 1
        y = keras.ops.convert_to_numpy(keras.ops.stop_gradient(layer(x)))
        assert found[place] == round(float(y.sum())), place


@pytest.mark.heavy
def test_what_a_report_turns_into(found):
    read = json.loads(found.to_json())
    assert read["sops"] == found.sops and read["layers"][0]["name"] == "stem_conv"
    frame = found.to_dataframe()
    assert list(frame["name"]) == [row.name for row in found.layers]
    text = str(found)
    assert "stage2" in text and f"{found.ratio:.2f} of the" in text


@pytest.mark.heavy
def test_any_iterable_of_batches(images, found, network):
    def batches():
        yield images[:4], np.zeros(4)
        yield images[4:], np.zeros(2)

    class Data(keras.utils.PyDataset):
        def __len__(self):
            return 2

        def __getitem__(self, i):
            return images[4 * i : 4 * i + 4], np.zeros(1)

    import tensorflow as tf

    assert insight.report(network, batches(), verbose=0) == found
    data = tf.data.Dataset.from_tensor_slices((images, np.zeros(6))).batch(4)
    assert insight.report(network, data, verbose=0) == found
    assert insight.report(network, keras.ops.convert_to_tensor(images), 4, verbose=0) == found
    assert insight.report(network, Data(), verbose=0) == found


@pytest.mark.heavy
def test_models_inside_of_models(images, found, network):
    inner = keras.Model(network.inputs, network.get_layer("stem_neuron").output, name="inner")
    x = keras.Input((12, 12, 3))
    outer = keras.Model(x, MeanOverSteps()(inner(x)))
    rows = insight.report(outer, images, verbose=0).layers
    assert [row.name for row in rows] == ["stem_conv", "stem_neuron"]
    assert rows[1].rates == found.layers[1].rates
    # The model is as it was.
    assert network.get_layer("stem_neuron").output.shape == (None, 3, 12, 12, 4)


def test_a_layer_that_is_called_twice_on_other_sizes():
    x = keras.Input((4, 6, 6, 1))
    conv, neuron = PerStep(Conv2D(1, 3, name="conv"), name="conv"), LIF(decay=0.0)
    once = conv(neuron(x))
    model = keras.Model(x, MeanOverSteps()(conv(LIF(decay=0.0)(once))))
    model.get_layer("conv").layer.set_weights([np.ones((3, 3, 1, 1)), np.zeros(1)])
    found = insight.report(model, np.ones((1, 4, 6, 6, 1), "float32"), verbose=0)
    weights = {row.name: row.sops for row in found.layers if row.kind == "weights"}
    # Everything fires: 9 products for each of 16 outputs, then for each of 4.
    assert weights == {"conv": 4 * 9 * 16, "conv/2": 4 * 9 * 4}
    # It has its weights once.
    assert found.parameters == 9 + 1


def test_what_is_not_counted_is_named():
    model = keras.Sequential(
        [
            keras.Input((4, 3)),
            LIF(),
            layers.TimeDistributed(layers.Dense(2, name="seen")),
            layers.EinsumDense("btc,cd->btd", (None, 2), name="unseen"),
        ]
    )
    found = insight.report(model, np.ones((1, 4, 3), "float32"), verbose=0)
    assert found.uncounted == ("unseen",) and "Not counted: unseen" in str(found)
    assert found.layers[1].sops == found.layers[0].firing_rate * 12 * 2


@pytest.mark.heavy
def test_a_network_for_images_in_0_to_1_warns_of_others():
    model = keras_staa.zoo.load("vgg_w32_t2.cifar10")
    with pytest.warns(UserWarning, match=r"images in \[0, 1\]"):
        insight.report(model, np.full((1, 32, 32, 3), 200.0, "float32"), verbose=0)


class Own(keras.Model):
    def call(self, x):
        return x


def two():
    inputs = [keras.Input((4, 2)) for _ in range(2)]
    return keras.Model(inputs, LIF()(layers.Add()(inputs)))


@pytest.mark.parametrize(
    "model, x, message",
    [
        (lambda: "cifar10", 1, "`model` must be a keras.Model"),
        (lambda: keras.Sequential([layers.Dense(2)]), 1, "functional or sequential"),
        (Own, 1, "functional or sequential.*`Own`"),
        (lambda: keras.Sequential([keras.Input((3,)), layers.Dense(2)]), 1, "neurons of this"),
        (two, 1, "one input. Received: 2"),
        (small, np.zeros((2, 3, 2, 1)), r"samples of shape \(2, 2, 1\).*\(2, 3, 2, 1\)"),
        (small, np.zeros((2, 2, 1)), r"samples of shape \(2, 2, 1\)"),
        (small, np.zeros((0, 2, 2, 1)), "must have samples"),
        (small, iter(()), "must have samples"),
        (small, np.full((1, 2, 2, 1), np.nan), "finite"),
    ],
)
def test_errors(model, x, message):
    with pytest.raises(ValueError, match=message):
        insight.report(model(), x, verbose=0)


@pytest.mark.heavy
@pytest.mark.parametrize("name", ["energy_mac", "energy_ac", "energy_byte", "batch_size"])
def test_arguments(name, network, images):
    with pytest.raises(ValueError, match=f"`{name}` must be"):
        insight.report(network, images, verbose=0, **{name: -1})


@pytest.mark.heavy
def test_energy_up_to_a_step_is_that_of_a_network_that_ends_there():
    given = {"width": 4, "input_shape": (12, 12, 3), "classes": 5, "attention": False}
    neuron = {"neuron": {"threshold": 0.3}}
    model = keras_staa.STAAResNet18(**given, **neuron, steps=3)
    x = np.random.default_rng(0).random((3, 12, 12, 3)).astype("float32")
    found = insight.report(model, x, verbose=0)
    assert len(found.energy_by_step) == 3
    assert found.energy_by_step[-1] == pytest.approx(found.energy)
    for steps in (1, 2):
        shorter = keras_staa.STAAResNet18(**given, **neuron, steps=steps)
        shorter.set_weights(model.get_weights())
        one = insight.report(shorter, x, verbose=0)
        # The read-out, a Dense layer for all steps at once, counts in full.
        rest = 4.6e-9 * (3 - steps) * 32 * 5
        assert found.energy_by_step[steps - 1] == pytest.approx(one.energy + rest)
