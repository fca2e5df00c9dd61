"""Under mixed precision the image reaches the first convolution as it is."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_staa
from keras_staa import _keras
from keras_staa.layers import PerStep
from keras_staa.layers.steps import unwrapped

NORMALIZATION = [(0.49, 0.25), (0.48, 0.24), (0.45, 0.26)]
NETWORKS = {
    **{name: (name, {}) for name in sorted(keras_staa.models.FACTORIES)},
    "padded": ("STAAResNet34", {"padding": "symmetric"}),
    "strided": ("STAACompact", {"stem_strides": 2}),
    "frames": ("STAACompact", {"input_shape": (2, 32, 32, 3)}),
    "padded frames": ("STAAResNet34", {"input_shape": (2, 32, 32, 3), "padding": "symmetric"}),
}


def network(name, policy):
    factory, arguments = NETWORKS[name]
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        return keras_staa.models.FACTORIES[factory](
            **{"input_shape": (32, 32, 3), "normalization": NORMALIZATION, **arguments},
            width=4,
            steps=2,
            attention=False,
        )
    finally:
        keras.config.set_dtype_policy(before)


def stem(model):
    """The network up to its first convolution."""
    first = next(x for x in model.layers if isinstance(unwrapped(x), keras_staa.layers.Conv2D))
    return keras.Model(model.inputs, first.output)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_the_first_convolution_is_that_of_float32(name, policy):
    half, full = network(name, policy), network(name, "float32")
    full.set_weights(half.get_weights())
    rng = np.random.default_rng(0)
    images = rng.uniform(0.5, 0.9, (2, *half.input_shape[1:])).astype("float32")
    outputs, expected = (ops.convert_to_numpy(stem(x)(images)) for x in (half, full))
    assert outputs.dtype == np.float32
    np.testing.assert_array_equal(outputs, expected)
    # Numbers from 0.5 to 1 are 2**-8 apart in bfloat16, and 2**-11 in float16.
    near = images + np.float32(2.0**-13)
    assert np.abs(ops.convert_to_numpy(stem(half)(near)) - outputs).max() > 0
    # What comes behind is in 16 bits.
    kinds = {x.compute_dtype for x in half.layers if isinstance(x, keras_staa.layers.LIF | PerStep)}
    assert policy.removeprefix("mixed_") in kinds
    neuron = next(x for x in half.layers if isinstance(x, keras_staa.layers.LIF))
    assert neuron.compute_dtype == policy.removeprefix("mixed_")


def test_the_network_itself_does_not_round_its_input():
    model = network("STAAVGG", "mixed_bfloat16")
    images = np.random.default_rng(0).random((1, 32, 32, 3)).astype("float32")
    seen = {}
    _keras.run_watched(model, images, lambda layer, x, y: seen.update({layer.name: x}))
    np.testing.assert_array_equal(ops.convert_to_numpy(seen["normalization"]), images)
    means, deviations = np.transpose(NORMALIZATION)
    found = ops.convert_to_numpy(seen["stage1_1_conv"])
    np.testing.assert_allclose(found, (images - means) / deviations, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "float32"])
def test_a_saved_network_keeps_its_dtypes(policy, tmp_path):
    model = network("STAACompact", policy)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    kinds = [[x.dtype_policy.name for x in m.layers[1:]] for m in (model, again)]
    assert kinds[0] == kinds[1]
    # A file from before has the same policy in all layers, and keeps it.
    config = model.get_config()
    for layer in config["layers"]:
        inside = layer["config"]
        for part in (inside, inside.get("layer", {}).get("config", {})):
            if isinstance(part.get("dtype"), dict):
                part["dtype"]["config"]["name"] = policy
    old = keras_staa.models.Network.from_config(config)
    assert old.get_layer("normalization").dtype_policy.name == policy
    old.set_weights(model.get_weights())
    images = np.random.default_rng(0).random((2, 32, 32, 3)).astype("float32")
    assert old.predict(images, verbose=0).shape == (2, 10)
