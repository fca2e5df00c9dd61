"""Parts of a network that are frozen, and what wrappers show of what they wrap."""

import copy
import pickle

import keras
import numpy as np
import pytest
from keras import ops

from keras_staa import models
from keras_staa.layers import STAA, STAALIF, BatchNormalization, Conv2D, PerStep, flatten_layers


def images(count=4):
    return np.random.default_rng(0).random((count, 16, 16, 3)).astype("float32")


def network(**arguments):
    keras.utils.set_random_seed(0)
    return models.STAAResNet19(
        width=4, steps=2, input_shape=(16, 16, 3), neuron={"threshold": 0.1}, **arguments
    )


@pytest.mark.parametrize("kind", [STAA, STAALIF])
def test_a_frozen_aggregator_bypasses_no_step(kind):
    layer = kind(2, bypass_rate=0.9)
    x = np.random.default_rng(0).random((8, 4, 2, 2, 4)).astype("float32")
    layer.build(x.shape)
    aggregator = getattr(layer, "staa", layer)
    gates = aggregator.context.excite_bias
    gates.assign(np.full(gates.shape, 9.0))
    whole = ops.convert_to_numpy(layer(x, training=False))
    assert (ops.convert_to_numpy(layer(x, training=True)) != whole).any()
    layer.trainable = False
    np.testing.assert_array_equal(ops.convert_to_numpy(layer(x, training=True)), whole)


@pytest.mark.heavy
def test_a_frozen_backbone_stands_still_in_fit():
    base = network(include_top=False, pooling="avg", bypass_rate=0.9)
    for layer in flatten_layers(base):
        if isinstance(layer, STAALIF):
            bias = layer.staa.context.excite_bias
            bias.assign(np.full(bias.shape, 9.0))
    base.trainable = False
    inputs = keras.Input((16, 16, 3))
    model = keras.Model(inputs, base(inputs, training=False))
    model.compile("sgd", lambda truth, found: ops.mean(ops.square(found - truth)))
    x = images()
    expected = base.predict(x, verbose=0)
    assert np.ptp(expected, axis=0).max() > 0
    loss = model.fit(x, expected, batch_size=4, verbose=0).history["loss"]
    assert loss[0] < 1e-12


def trained_paths(model):
    return {v.path.split("/")[0] for v in model.trainable_variables}


def test_freeze_parts():
    model = network(include_top=True)
    every = trained_paths(model)

    def stages(*names):
        return {path for path in every if path.startswith(names)}

    assert model.freeze("stage2") is model
    assert every - trained_paths(model) == stages("stage2_")
    # Another call freezes other parts.
    assert every - trained_paths(model.freeze(["stage1", "stage3"])) == stages("stage1_", "stage3_")
    assert trained_paths(model.freeze([])) == every
    assert trained_paths(model.freeze("backbone")) == {"predictions"}
    for bad in ("top", ["stage1", "stage9"], "predictions"):
        with pytest.raises(ValueError, match=r"`parts` must be one of \['backbone', 'stem'"):
            model.freeze(bad)
    assert trained_paths(model.freeze([])) == every


@pytest.mark.parametrize("shape", [(32, 32, 3), (2, 32, 32, 2)])
def test_what_was_frozen_before_stays_frozen(shape):
    """The whitening convolution is never trained."""
    model = models.STAACompact(width=4, steps=2, input_shape=shape)
    every = trained_paths(model)
    assert "whitening" not in every
    assert trained_paths(model.freeze("backbone")) == {"predictions"}
    copy = keras.models.clone_model(model)
    assert trained_paths(model.freeze([])) == every
    assert trained_paths(copy) == {"predictions"}
    assert trained_paths(copy.freeze([])) == every


@pytest.mark.heavy
def test_what_is_frozen_keeps_its_weights_in_fit():
    model = network().freeze("stage1")
    before = {layer.name: layer.get_weights() for layer in model.layers}
    model.compile(keras.optimizers.SGD(0.5), "sparse_categorical_crossentropy")
    model.fit(images(8), np.arange(8), batch_size=4, verbose=0)
    for layer in model.layers:
        same = [
            np.array_equal(a, b)
            for a, b in zip(before[layer.name], layer.get_weights(), strict=True)
        ]
        if layer.name.startswith("stage1"):
            assert all(same), layer.name
        elif layer.name.startswith(("stem_conv", "stage2_block1_1_conv", "predictions")):
            assert not any(same), layer.name


@pytest.mark.heavy
def test_the_loop_that_freezes_every_normalization():
    model = network()
    norms = [n for n in flatten_layers(model) if isinstance(n, keras.layers.BatchNormalization)]
    # Two a block, one a change of width, and the stem's.
    assert len(norms) == 8 * 2 + 2 + 1
    for layer in norms:
        layer.trainable = False
    model.compile("sgd", "sparse_categorical_crossentropy")
    before = [layer.get_weights() for layer in norms]
    model.fit(images(), np.arange(4), verbose=0)
    for layer, weights in zip(norms, before, strict=True):
        for old, new in zip(weights, layer.get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)


def test_a_wrapper_shows_what_it_wraps():
    model = network()
    conv, norm = model.get_layer("stage1_block1_1_conv"), model.get_layer("stage1_block1_1_bn")
    assert isinstance(conv, PerStep) and isinstance(conv.layer, Conv2D)
    assert (conv.filters, conv.kernel_size) == (4, (3, 3))
    assert norm.gamma is norm.layer.gamma and norm.momentum == 0.9
    for name in ("units", "enable_lora", "_unknown", "__deepcopy__"):
        assert not hasattr(conv, name), name


def test_a_wrapper_is_copied_and_pickled():
    layer = PerStep(BatchNormalization(momentum=0.5))
    layer.build((None, 2, 4, 4, 3))
    for again in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert again.momentum == 0.5 and again.layer is not layer.layer
    with pytest.raises(AttributeError):
        PerStep.__new__(PerStep).filters  # noqa: B018
