"""Weights of networks in PyTorch, there and back: equal logits."""

import functools

import keras
import numpy as np
import pytest

import keras_staa
from keras_staa.exchange import load_torch_weights, torch_weights
from tests.zoo.support import images

torch = pytest.importorskip("torch")
from tests.exchange import torch_networks  # noqa: E402

STEPS, CLASSES = 3, 5
NEURON = functools.partial(torch_networks.LIF, 2.0, 0.4)
OURS = {
    "steps": STEPS,
    "classes": CLASSES,
    "width": 4,
    "attention": False,
    "neuron": {"decay": 0.5, "gain": 0.5, "threshold": 0.4},
    "classifier_activation": None,
}


def resnet18():
    network = torch_networks.ResNet((2, 2, 2, 2), 4, CLASSES, NEURON, large=False)
    return network, keras_staa.STAAResNet18, {"input_shape": (16, 16, 3), "padding": "symmetric"}


def resnet34():
    network = torch_networks.ResNet((3, 4, 6, 3), 4, CLASSES, NEURON, large=True)
    return network, keras_staa.STAAResNet34, {"input_shape": (64, 64, 3), "padding": "symmetric"}


def vgg():
    network = torch_networks.VGG(4, CLASSES, NEURON)
    return network, keras_staa.STAAVGG, {"input_shape": (32, 32, 3)}


@functools.cache
def pair(make):
    """A network in PyTorch with random weights, and ours with other weights."""
    network, create, arguments = make()
    return torch_networks.randomise(network), create(**OURS, **arguments)


@pytest.mark.parametrize("make", [resnet18, resnet34, vgg])
def test_there_and_back(make):
    network, model = pair(make)
    x = images(4, shape=model.input_shape[1:])
    expected = torch_networks.logits(network, x, STEPS)
    assert np.ptp(expected, axis=0).max() > 0.01
    assert load_torch_weights(model, network.state_dict()) is model
    np.testing.assert_allclose(model.predict(x, verbose=0), expected, atol=1e-4)
    # Into another network in PyTorch.
    other = torch_networks.randomise(make()[0], seed=1)
    assert np.abs(torch_networks.logits(other, x, STEPS) - expected).max() > 0.01
    found = {k: torch.tensor(v) for k, v in torch_weights(model, other.state_dict()).items()}
    missing, unexpected = other.load_state_dict(found, strict=False)
    assert not unexpected and all("num_batches_tracked" in name for name in missing)
    np.testing.assert_allclose(torch_networks.logits(other, x, STEPS), expected, atol=1e-4)


def test_same_padding_is_not_pytorchs():
    network, _ = pair(resnet18)
    model = keras_staa.STAAResNet18(**OURS, input_shape=(16, 16, 3))
    x = images(4, shape=(16, 16, 3))
    load_torch_weights(model, network.state_dict())
    difference = model.predict(x, verbose=0) - torch_networks.logits(network, x, STEPS)
    assert np.abs(difference).max() > 1e-3


def unchanged(model, state, message):
    before = model.get_weights()
    with pytest.raises(ValueError, match=message):
        load_torch_weights(model, state)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_does_not_fit():
    network, model = pair(resnet18)
    state = network.state_dict()
    unchanged(model, {k: v for k, v in state.items() if "fc" not in k}, "1 of the kind Dense layer")
    less = {k: v for k, v in state.items() if not k.startswith("layer4.1.conv2")}
    unchanged(model, less, "must have 20 of the kind convolution.*Received: 19: conv1, ")
    wide = {**state, "layer2.0.conv1.weight": torch.zeros(8, 5, 3, 3)}
    unchanged(model, wide, r"'layer2.0.conv1' with the shapes \[\(8, 5, 3, 3\)\], but layer")
    gated = keras_staa.STAAResNet18(**{**OURS, "attention": True}, input_shape=(16, 16, 3))
    with pytest.raises(ValueError, match="in convolutions.*layer 'stem_neuron', of the class LIF"):
        load_torch_weights(gated, state)


@pytest.mark.parametrize("padding, first", [("same", 0), ("symmetric", -1)])
def test_padding_of_strided_convolutions(padding, first):
    """The first window of a strided convolution begins at this row."""
    model = keras_staa.STAAResNet18(**OURS, input_shape=(16, 16, 3), padding=padding)
    conv = model.get_layer("stage2_block1_1_conv").layer
    source = model.get_layer("stage1_block2_2_neuron").output
    part = keras.Model(source, model.get_layer("stage2_block1_1_conv").output)
    kernel = np.zeros(conv.kernel.shape, "float32")
    kernel[0, 0] = 1.0
    conv.kernel.assign(kernel)
    x = np.zeros((1, STEPS, 16, 16, 4), "float32")
    x[:, :, 2 + first, 2 + first] = 1.0
    y = part.predict(x, verbose=0)
    assert y.shape[2:4] == (8, 8)
    assert np.argwhere(y[0, 0].sum(-1)).tolist() == [[1, 1]]


def test_the_padding_is_checked():
    with pytest.raises(ValueError, match="`padding` must be one of .*padding='valid'"):
        keras_staa.STAAResNet18(padding="valid")
