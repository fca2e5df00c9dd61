"""Presets with other neurons than they were trained with."""

import keras
import numpy as np
import pytest

from keras_staa.layers import ALIF, IF, LIF, PLIF
from tests.zoo.support import Tiny, predictions, saved, tiny, values


def same(a, b, but=()):
    """All weights are equal, but those whose path has one of some parts."""
    a, b = values(a), values(b)
    for path, value in a.items():
        if not any(part in path for part in but):
            np.testing.assert_array_equal(value, b[path], err_msg=path)


def test_a_surrogate(preset, model):
    changed = Tiny(weights=preset, neuron={"surrogate": "sigmoid"})
    same(model, changed)
    # The threshold of the preset stands, and predictions do not ask for a surrogate.
    assert changed.arguments["neuron"] == {"threshold": 0.3, "surrogate": "sigmoid"}
    assert changed.get_layer("stage_neuron").lif.surrogate.get_config()
    np.testing.assert_array_equal(predictions(changed), predictions(model))


def test_a_threshold(preset, model):
    changed = Tiny(weights=preset, neuron={"threshold": 0.5})
    same(model, changed)
    by_hand = tiny(neuron={"threshold": 0.5})
    by_hand.set_weights(model.get_weights())
    np.testing.assert_array_equal(predictions(changed), predictions(by_hand))


def test_fixed_coefficients(preset, model):
    changed = Tiny(weights=preset, neuron={"learn": False})
    same(changed, model)
    assert not any("decay" in path for path in values(changed))


def aggregators(model):
    """Weights of aggregators by their place, whether in a layer with the neuron or alone."""
    found = {}
    for path, value in values(model).items():
        if "stage_neuron/staa/" in path or "stage_staa/" in path:
            found[path.split("/", 2 if "neuron" in path else 1)[-1]] = value
    return found


@pytest.mark.parametrize("neuron", [ALIF(threshold=0.3), PLIF(threshold=0.3), IF(), "relu"])
def test_another_neuron(neuron, preset, model):
    changed = Tiny(weights=preset, neuron=neuron)
    before, after = aggregators(model), aggregators(changed)
    assert before.keys() == after.keys() and len(before) > 5
    for path, value in before.items():
        np.testing.assert_array_equal(after[path], value, err_msg=path)
    rest = {k: v for k, v in values(changed).items() if "_staa/" not in k and "leak" not in k}
    assert {"stem_conv/kernel", "predictions/kernel"} <= set(rest) and len(rest) > 10
    for path, value in rest.items():
        np.testing.assert_array_equal(values(model)[path], value, err_msg=path)
    if isinstance(neuron, PLIF):
        assert float(values(changed)["stage_neuron/leak"]) == 0.0
    assert changed.get_layer("stage_neuron").__class__ is (
        keras.layers.Activation if neuron == "relu" else type(neuron)
    )


def test_back_again(tmp_path):
    other = tiny(neuron=LIF(threshold=0.3, learn=True))
    folder = saved(tmp_path / "other", other)
    # A dictionary is the aggregator and its neuron as one layer.
    joined = Tiny(weights=folder, neuron={"threshold": 0.3})
    np.testing.assert_allclose(predictions(joined), predictions(other), atol=1e-6)
    for name in ("decay", "gain"):
        np.testing.assert_array_equal(
            values(joined)[f"stage_neuron/lif/{name}"], values(other)[f"stage_neuron/{name}"]
        )


def test_other_steps_and_neuron(preset, model):
    changed = Tiny(weights=preset, steps=3, classes=5, neuron=ALIF(threshold=0.3))
    assert changed.output_shape == (None, 5)
    assert changed.get_layer("stage_neuron").output.shape[1] == 3
    kernels = [m.get_layer("stage_conv").layer.get_weights()[0] for m in (changed, model)]
    np.testing.assert_array_equal(*kernels)


def test_a_class_that_is_no_neuron(preset):
    with pytest.raises(ValueError, match="`neuron` must be None, a dictionary"):
        Tiny(weights=preset, neuron=3)
