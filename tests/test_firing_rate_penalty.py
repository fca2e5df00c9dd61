"""The penalty for firing rates, against NumPy and in training."""

import keras
import numpy as np
import pytest

import keras_staa
from keras_staa.layers import LIF, STAALIF, MeanOverSteps
from keras_staa.losses import FiringRate, firing_rate_penalty


def network():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((3, 4, 4, 2))
    x = keras.layers.Dense(8)(inputs)
    x = LIF(surrogate="sigmoid", name="first")(x)
    x = keras.layers.Dense(8)(x)
    x = STAALIF(surrogate="sigmoid", bypass_rate=0.0, name="second")(x)
    outputs = keras.layers.Dense(2)(keras.layers.Flatten()(MeanOverSteps()(x)))
    return keras.Model(inputs, outputs)


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return rng.normal(0, 3, (16, 3, 4, 4, 2)).astype("float32"), rng.integers(0, 2, 16)


def rates(model, x):
    names = ("first", "second")
    probe = keras.Model(model.inputs, [model.get_layer(name).output for name in names])
    return [spikes.mean() for spikes in probe.predict(x, verbose=0)]


def test_the_loss_is_the_sum_over_the_layers(data):
    x, y = data
    model = network()
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    plain = model.evaluate(x, y, batch_size=16, verbose=0)
    assert firing_rate_penalty(model, target=0.05, strength=3.0) is model
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    found = model.evaluate(x, y, batch_size=16, verbose=0)
    expected = sum(3.0 * (rate - 0.05) ** 2 for rate in rates(model, x))
    assert expected > 0.01
    np.testing.assert_allclose(found - plain, expected, rtol=1e-4)
    firing_rate_penalty(model, strength=None)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    assert model.evaluate(x, y, batch_size=16, verbose=0) == plain


@pytest.mark.parametrize("target", [0.0, 0.7])
def test_training_draws_the_rates_to_the_target(target, data):
    x, y = data
    model = firing_rate_penalty(network(), target, strength=200.0)
    before = rates(model, x)
    model.compile(
        keras.optimizers.Adam(0.02), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    model.fit(x, y, batch_size=16, epochs=200, verbose=0)
    distances = [sum((np.array(r) - target) ** 2) for r in (before, rates(model, x))]
    assert distances[1] < 0.25 * distances[0]


def test_every_layer_of_a_network_has_it_once():
    model = keras_staa.STAAVGG(width=8)
    firing_rate_penalty(model)
    held = [
        layer
        for layer in keras_staa.layers.flatten_layers(model)
        if getattr(layer, "activity_regularizer", None) is not None
    ]
    assert len(held) == 10 and len({id(layer) for layer in held}) == 10
    again = FiringRate.from_config(FiringRate(0.2, 3.0).get_config())
    assert (again.target, again.strength) == (0.2, 3.0)


@pytest.mark.parametrize(
    "model, arguments, message",
    [
        (network, {"target": 2}, "`target` must be"),
        (network, {"strength": 0}, "`strength` must be"),
        (lambda: keras.Sequential([keras.layers.Dense(2)]), {}, "neurons of this library"),
        (lambda: "cifar10", {}, "neurons of this library"),
    ],
)
def test_errors(model, arguments, message):
    with pytest.raises(ValueError, match=message):
        firing_rate_penalty(model(), **arguments)
