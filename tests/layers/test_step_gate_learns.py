"""The step gate singles out the time step that carries the class, by training as recipes do it."""

import keras
import numpy as np
import pytest

from keras_staa.layers import STAALIF, BatchNormalization, MeanOverSteps, PerStep, undecayed_weights
from keras_staa.optimizers import ScaledSGD

CLASSES, STEPS, SIDE, CHANNELS = 6, 4, 2, 16

# Optimizers and weight decay of the recipes, at the learning rate of this small network.
OPTIMIZERS = {
    "SGD": lambda: keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=5e-3),
    "ScaledSGD": lambda: ScaledSGD(
        0.1, {"beta": 8.0}, momentum=0.9, nesterov=True, weight_decay=5e-3
    ),
    "Lamb": lambda: keras.optimizers.Lamb(0.01, weight_decay=0.02),
    "AdamW": lambda: keras.optimizers.AdamW(0.01, weight_decay=0.02),
}


def samples(count, seed):
    """One step has the pattern of the class and a mark in channel 0, the others other patterns."""
    patterns = np.random.default_rng(0).normal(0, 1, (CLASSES, SIDE, SIDE, CHANNELS))
    rng = np.random.default_rng(seed)
    labels, places = rng.integers(0, CLASSES, count), rng.integers(0, STEPS, count)
    shown, rows = rng.integers(0, CLASSES, (count, STEPS)), np.arange(count)
    shown[rows, places] = labels
    x = patterns[shown] + rng.normal(0, 0.5, (count, STEPS, SIDE, SIDE, CHANNELS))
    x[rows, places, :, :, 0] += 2.0
    return x.astype("float32"), labels, places


def network(**staa):
    inputs = keras.Input((STEPS, SIDE, SIDE, CHANNELS))
    x = PerStep(BatchNormalization())(inputs)
    layer = STAALIF(position=None, context=False, bypass_rate=0.1, seed=1, **staa)
    x = PerStep(keras.layers.Flatten())(layer(x))
    x = PerStep(keras.layers.Dense(CLASSES))(x)
    return keras.Model(inputs, MeanOverSteps()(x)), layer


def trained(optimizer, epochs, **staa):
    keras.utils.set_random_seed(0)
    model, layer = network(**staa)
    x, labels, _ = samples(1024, seed=1)
    optimizer.exclude_from_weight_decay(var_list=undecayed_weights(model))
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x, labels, batch_size=64, epochs=epochs, verbose=0)
    return model, layer


def gates_of(model, layer, x):
    """Step gates of samples, from the current that reaches the layer."""
    current = keras.Model(model.inputs, layer.input).predict(x, verbose=0)
    attention = layer.staa.step_attention
    means = current.astype("float32").mean((2, 3))
    return keras.ops.convert_to_numpy(attention.gate(keras.ops.convert_to_tensor(means)))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_gate_singles_out_the_step_that_carries_the_class(name):
    model, layer = trained(OPTIMIZERS[name](), epochs=10)
    x, labels, places = samples(512, seed=2)
    gates = gates_of(model, layer, x)
    assert (gates.argmax(axis=1) == places).mean() > 0.9
    chosen = gates[np.arange(len(x)), places]
    rest = (gates.sum(axis=1) - chosen) / (STEPS - 1)
    assert chosen.mean() > 2 * rest.mean()
    accuracy = (model.predict(x, verbose=0).argmax(-1) == labels).mean()
    plain, _ = trained(OPTIMIZERS[name](), epochs=10, step_gate=False)
    assert accuracy > (plain.predict(x, verbose=0).argmax(-1) == labels).mean() + 0.1


def test_the_causal_gate_singles_it_out_as_well():
    model, layer = trained(OPTIMIZERS["SGD"](), epochs=10, step_gate="causal")
    x, _, places = samples(512, seed=2)
    gates = gates_of(model, layer, x)
    # The first step has none before it to differ from.
    later = places > 0
    assert (gates[later].argmax(axis=1) == places[later]).mean() > 0.9
