"""Keras's low-rank adaptation of the convolutions and the read-out of a network."""

import keras
import numpy as np

from keras_staa import zoo
from keras_staa.layers import Conv2D, flatten_layers
from tests.zoo.support import images, predictions, registered, saved, tiny


def adapted():
    """A network whose convolutions and read-out have two ranks to train, and nothing else."""
    model = tiny(steps=2)
    for layer in flatten_layers(model):
        if isinstance(layer, Conv2D | keras.layers.Dense):
            layer.enable_lora(2)
        elif layer.weights and not [x for x in flatten_layers(layer) if x.weights]:
            layer.trainable = False
    return model


def test_low_rank_adaptation_of_a_network(tmp_path, monkeypatch):
    registered(monkeypatch)
    model = adapted()
    np.testing.assert_allclose(predictions(model), predictions(tiny(steps=2)), atol=1e-6)
    names = {v.name for v in model.trainable_variables}
    assert {"lora_kernel_a", "lora_kernel_b"} <= names <= {"lora_kernel_a", "lora_kernel_b", "bias"}
    kept = [(v, keras.ops.convert_to_numpy(v).copy()) for v in model.weights if v.name == "kernel"]
    assert len(kept) == 3
    model.compile(keras.optimizers.Adam(0.05), "sparse_categorical_crossentropy")
    model.fit(images(12), np.arange(12) % 3, epochs=2, verbose=0)
    for variable, value in kept:
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), value)
    after = predictions(model)
    assert np.abs(after - predictions(tiny(steps=2))).max() > 1e-3
    # Files hold the sum of both: whoever loads the preset needs to know nothing of it.
    np.testing.assert_allclose(
        predictions(zoo.load(saved(tmp_path / "tiny", model))), after, atol=1e-5
    )
