"""Which weights have no weight decay, and that an optimizer leaves them alone."""

import keras
import numpy as np
import pytest

from keras_staa import STAAVGG
from keras_staa.layers import ALIF, LIF, PLIF, Neuron, STAANeuron, undecayed_weights


def names(model):
    return sorted({weight.path.split("/")[-1] for weight in undecayed_weights(model)})


def kernels(model):
    left = {id(weight) for weight in undecayed_weights(model)}
    found = [w for w in model.trainable_weights if id(w) not in left]
    return sorted({weight.path.split("/")[-1] for weight in found})


@pytest.mark.parametrize(
    "more, coefficients",
    [
        ({}, ["decay", "gain"]),
        ({"neuron": PLIF()}, ["leak"]),
        ({"neuron": ALIF()}, []),
        ({"neuron": {"learn": False}}, []),
    ],
)
def test_coefficients_encodings_biases_and_normalizations(more, coefficients):
    model = STAAVGG(width=4, steps=2, **more)
    tables = ["columns", "rows", "steps"]
    rest = ["beta", "bias", "gamma", "excite", "excite_bias", "key", "squeeze", "squeeze_bias"]
    assert names(model) == sorted(coefficients + tables + rest)
    assert kernels(model) == ["kernel"]
    model.trainable = False
    assert names(model) == sorted(coefficients + tables + rest)


def test_a_full_encoding_has_none():
    assert "embedding" in names(STAAVGG(width=4, steps=2, attention={"position": "full"}))


def test_a_neuron_may_declare_others():
    class Mixing(Neuron):
        def build(self, input_shape):
            super().build(input_shape)
            self.mix = self.add_coefficient("mix", 0.5, input_shape)
            self.rest = self.add_coefficient("rest", 0.5, input_shape)

        def step(self, state, drive):
            v = state + self.mix * drive + self.rest
            s = self.fire(v - self.threshold)
            return s, v * (1 - s)

        @property
        def undecayed_weights(self):
            return [self.rest]

    neuron = Mixing()
    layer = STAANeuron(neuron, context=False, step_gate=False, position=None)
    layer.build((None, 2, 3, 3, 4))
    assert names(layer) == ["rest"]


def test_an_optimizer_decays_the_others_alone():
    model = keras.Sequential([keras.Input((3, 4)), keras.layers.Dense(5), LIF(learn=True)])
    for weight in model.weights:
        weight.assign(np.full(weight.shape, 0.5))
    optimizer = keras.optimizers.SGD(0.1, weight_decay=0.2)
    optimizer.exclude_from_weight_decay(var_list=undecayed_weights(model))
    optimizer.build(model.trainable_variables)
    zeros = [keras.ops.zeros(weight.shape) for weight in model.trainable_variables]
    optimizer.apply(zeros)
    found = {w.path.split("/")[-1]: keras.ops.convert_to_numpy(w) for w in model.weights}
    np.testing.assert_allclose(found.pop("kernel"), 0.5 * (1 - 0.1 * 0.2), rtol=1e-6)
    assert sorted(found) == ["bias", "decay", "gain"]
    for value in found.values():
        np.testing.assert_array_equal(value, np.float32(0.5))
