"""Batch normalization inside convolutions, against NumPy and the network as it was."""

import keras
import numpy as np
import pytest

import keras_staa
from keras_staa import STAAVGG, STAACompact, STAAResNet19, STAAResNet20, fuse, models, zoo
from keras_staa.layers import LIF, STAALIF, BatchNormalization, Conv2D, PerStep, flatten_layers


def drawn(model, seed=0):
    """Draw what training changes; every third channel has a negative scale."""
    rng = np.random.default_rng(seed)
    for layer in flatten_layers(model):
        if isinstance(layer, keras.layers.BatchNormalization):
            size = layer.moving_mean.shape[0]
            layer.moving_mean.assign(rng.normal(0, 0.5, size))
            layer.moving_variance.assign(rng.uniform(0.2, 2.0, size))
            if layer.gamma is not None:
                sign = np.where(np.arange(size) % 3 == 2, -1.0, 1.0)
                layer.gamma.assign(rng.uniform(0.5, 1.5, size) * sign)
            if layer.beta is not None:
                layer.beta.assign(rng.normal(0, 0.5, size))
    return model


def inputs_of(model, count=4):
    x = np.random.default_rng(1).random((count, *model.input_shape[1:]), "float32")
    return (x > 0.7).astype("float32") if x.ndim == 5 else x


def agree(model, fused, tolerance=1e-4):
    x = inputs_of(model)
    expected, found = (m.predict(x, verbose=0) for m in (model, fused))
    for a, b in zip(keras.tree.flatten(expected), keras.tree.flatten(found), strict=True):
        assert np.abs(a).max() > 0
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def norms(model):
    kind = keras.layers.BatchNormalization
    return [x.name for x in flatten_layers(model) if isinstance(x, kind)]


def joined(*layers, shape=(8, 8, 3)):
    x = inputs = keras.Input(shape)
    for layer in layers:
        x = layer(x)
    return drawn(keras.Model(inputs, x))


def test_kernel_and_bias_by_hand():
    conv = Conv2D(2, 1, use_bias=True, name="conv")
    model = joined(conv, BatchNormalization(epsilon=0.0, name="norm"), shape=(1, 1, 1))
    conv.set_weights([np.array([[[[3.0, -1.0]]]]), np.array([1.0, 2.0])])
    # scale, center, mean, variance
    model.get_layer("norm").set_weights(
        [np.array(v) for v in ([2.0, -1.0], [0.5, 0.0], [1.0, 4.0], [4.0, 0.25])]
    )
    fused = fuse(model).get_layer("conv")
    # (3 x + 1 - 1) / 2 * 2 + 0.5 and -(-x + 2 - 4) / 0.5
    np.testing.assert_allclose(fused.get_weights()[0].ravel(), [3.0, 2.0], rtol=1e-6)
    np.testing.assert_allclose(fused.get_weights()[1], [0.5, 4.0], rtol=1e-6)


# With ReLU, where rounding stays small: a spike that flips changes what comes after.
@pytest.mark.parametrize(
    ("factory", "left"),
    [(STAAResNet19, 0), (STAAResNet20, 0), (STAAVGG, 0), (STAACompact, 3)],
)
def test_networks_compute_the_same(factory, left):
    model = drawn(factory(width=4, steps=2, neuron=keras.layers.ReLU(), input_shape=(16, 16, 3)))
    fused = fuse(model)
    assert len(norms(fused)) == left
    agree(model, fused)


def test_spiking_networks_agree():
    model = drawn(STAACompact(width=8, steps=2, pooling="avg", include_top=False))
    fused = fuse(model)
    x = inputs_of(model, 16)
    a, b = model.predict(x, verbose=0), fused.predict(x, verbose=0)
    assert np.mean(a) > 0.01
    assert np.mean(np.abs(a - b) > 1e-6) < 0.01


@pytest.mark.once
def test_a_published_network():
    model = zoo.load("cifar10")
    fused = fuse(model)
    x = inputs_of(model, 50)
    a, b = model.predict(x, verbose=0), fused.predict(x, verbose=0)
    assert (a.argmax(-1) == b.argmax(-1)).all()
    assert fused.class_names == model.class_names
    assert fused.factory is fused.arguments is None
    assert model.factory == "STAACompact"
    assert list(fused.stage_outputs) == list(model.stage_outputs)


def test_a_pool_between():
    for pool in (keras.layers.AveragePooling2D(2), keras.layers.AveragePooling2D(3, 2, "same")):
        model = joined(Conv2D(6, 3, padding="same"), pool, BatchNormalization())
        fused = fuse(model)
        assert not norms(fused)
        agree(model, fused)


def test_maxima_let_positive_scales_through_alone():
    layers = Conv2D(6, 3), keras.layers.MaxPooling2D(2), BatchNormalization(name="norm")
    model = joined(*layers)
    assert norms(fuse(model)) == ["norm"]
    agree(model, fuse(model))
    model.get_layer("norm").gamma.assign(np.abs(model.get_layer("norm").get_weights()[0]))
    assert not norms(fuse(model))
    agree(model, fuse(model))


@pytest.mark.parametrize(
    "layers",
    [
        lambda: [keras.layers.Dense(5), keras.layers.BatchNormalization()],
        lambda: [keras.layers.Conv2D(6, 3, groups=3), keras.layers.BatchNormalization()],
        lambda: [Conv2D(5, 3, use_bias=False), BatchNormalization(scale=False, center=False)],
        lambda: [keras.Sequential([Conv2D(5, 3, name="a"), BatchNormalization()])],
    ],
)
def test_other_layers(layers):
    model = joined(*layers())
    assert not norms(fuse(model))
    agree(model, fuse(model))


class Doubled(Conv2D):
    """A convolution that computes something else."""

    def call(self, inputs):
        return 2.0 * super().call(inputs)


@pytest.mark.parametrize(
    "layers",
    [
        lambda: [Conv2D(5, 3, activation="relu"), BatchNormalization()],
        lambda: [keras.layers.DepthwiseConv2D(3), BatchNormalization()],
        lambda: [Conv2D(6, 3, padding="same"), keras.layers.BatchNormalization(axis=1)],
        lambda: [Doubled(5, 3), BatchNormalization()],
        lambda: [BatchNormalization()],
    ],
)
def test_what_cannot_be_folded_stays(layers):
    model = joined(*layers())
    with keras.saving.custom_object_scope({"Doubled": Doubled}):
        fused = fuse(model)
    assert len(norms(fused)) == 1
    agree(model, fused)


def test_a_convolution_that_others_read_stays():
    inputs = keras.Input((8, 8, 3))
    conv = Conv2D(3, 3, padding="same")
    x, norm = conv(inputs), BatchNormalization()
    for outputs in ([norm(x), x], keras.layers.Add()([BatchNormalization()(x), x])):
        model = drawn(keras.Model(inputs, outputs))
        assert len(norms(fuse(model))) == 1
        agree(model, fuse(model))
    twice = drawn(keras.Model(inputs, [BatchNormalization()(conv(y)) for y in (inputs, x)]))
    assert len(norms(fuse(twice))) == 2
    agree(twice, fuse(twice))
    again = drawn(keras.Model(inputs, [BatchNormalization()(conv(inputs)), conv(inputs)]))
    assert len(norms(fuse(again))) == 1
    agree(again, fuse(again))


def test_a_network_in_a_network():
    base = drawn(STAAVGG(width=4, steps=2, include_top=False, pooling="avg", neuron="relu"))
    inputs = keras.Input((32, 32, 3))
    model = keras.Model(inputs, keras.layers.Dense(3)(base(inputs)))
    fused = fuse(model)
    assert not norms(fused)
    agree(model, fused)


@pytest.mark.parametrize("frames", [False, True])
def test_a_constant_gain_goes_along(frames):
    shape = {"input_shape": (2, 32, 32, 2)} if frames else {}
    neuron = {"gain": 0.5, "learn": False}
    model = drawn(STAAVGG(width=4, steps=2, attention=False, neuron=neuron, **shape))
    fused = fuse(model)
    assert {x.gain for x in flatten_layers(model) if isinstance(x, LIF)} == {0.5}
    assert {x.gain for x in flatten_layers(fused) if isinstance(x, LIF)} == {1.0}
    agree(model, fused, 1e-5)


def test_gains_with_something_between_stay():
    inputs = keras.Input((2, 8, 8, 4))
    x = PerStep(BatchNormalization())(PerStep(Conv2D(4, 3, padding="same"))(inputs))
    ends = [
        LIF(gain=0.5, threshold=0.2)(keras.layers.Add()([x, inputs])),
        STAALIF(gain=0.5, learn=False, threshold=0.2)(x),
    ]
    for end in ends:
        model = drawn(keras.Model(inputs, end))
        fused = fuse(model)
        assert not norms(fused)
        assert [x.gain for x in flatten_layers(fused) if isinstance(x, LIF)] == [0.5]
        agree(model, fused)


@pytest.mark.heavy
def test_it_stays_compiled_and_can_be_saved(tmp_path):
    model = drawn(STAAVGG(width=4, steps=2, neuron="relu"))
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    fused, x = fuse(model), inputs_of(model)
    found = [m.evaluate(x, np.arange(4), verbose=0) for m in (model, fused)]
    np.testing.assert_allclose(*found, rtol=1e-4)
    fused.save(tmp_path / "a.keras")
    loaded = keras.models.load_model(tmp_path / "a.keras")
    assert isinstance(loaded, models.Network)
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), fused.predict(x, verbose=0))
    agree(fused, fuse(loaded))


def test_nir_takes_fused_networks():
    pytest.importorskip("nir")
    model = drawn(STAAVGG(width=4, steps=2, attention=False))
    graphs = [keras_staa.exchange.to_nir(m) for m in (model, fuse(model))]
    assert graphs[0].nodes.keys() == graphs[1].nodes.keys()
    for name, node in graphs[0].nodes.items():
        if hasattr(node, "weight"):
            other = graphs[1].nodes[name].weight
            np.testing.assert_allclose(node.weight, other, rtol=1e-4, atol=1e-6)


def test_lora_goes_along():
    model = joined(conv := Conv2D(5, 3, name="conv"), BatchNormalization())
    conv.enable_lora(2)
    rng = np.random.default_rng(0)
    for weight in (conv.lora_kernel_a, conv.lora_kernel_b):
        weight.assign(rng.normal(size=weight.shape))
    agree(model, fuse(model))
    assert len(fuse(model).get_layer("conv").weights) == 2


class Subclassed(keras.Model):
    """No graph of layers."""


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: "cifar10", "`model` must be a functional or sequential keras.Model"),
        (Subclassed, "`model` must be a functional or sequential keras.Model"),
        (lambda: keras.Sequential([Conv2D(2, 3)]), "`model` must be built"),
    ],
)
def test_bad_models(model, message):
    with pytest.raises(ValueError, match=message):
        fuse(model())
