"""The comparison with other libraries, as far as it goes without them."""

import argparse
import sys

import keras
import numpy as np
import pytest

import keras_staa
from keras_staa._keras import all_layers
from tests.real import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))
import limit  # noqa: E402
import peers  # noqa: E402
from libraries import ours  # noqa: E402


def test_the_command_line():
    assert peers.parse([]).what == ["network", "layer", "memory"]
    assert peers.parse(["layer", "--neurons", "8", "16"]).neurons == [8, 16]
    with pytest.raises(SystemExit):
        peers.parse(["weather"])


def test_medians_of_turns():
    values = {"a": iter([9, 9, 1, 5, 3]), "b": iter([0, 0, 2, 2, 4])}
    turns = {key: lambda it=it: next(it) for key, it in values.items()}
    assert peers.timed(turns, 0.0) == {"a": 3, "b": 2}
    turns = {
        key: lambda it=it: next(it) for key, it in {"a": iter([9, 1]), "b": iter([0, 2])}.items()
    }
    assert peers.timed(turns, 60.0, before=1, enough=0.0) == {"a": 1, "b": 2}


def test_points_that_share_the_relu_network():
    names = {"policies": ["float32"], "compiled": limit.KINDS}
    args = argparse.Namespace(points="grid", widths=[16, 32], steps=[1, 4], **names)
    points = limit.points(args, limit.Point())
    compiled = limit.COMPILED[keras.backend.backend()]
    assert len(points) == len(set(points)) == 4 * len(compiled)
    # Two widths, compiled as a whole or not.
    wholes = {"all" if c == "all" else "none" for c in compiled}
    assert len({point.without_neurons() for point in points}) == 2 * len(wholes)
    args.points = "axes"
    first, *others = limit.points(args, limit.Point(compiled=compiled[0]))
    assert first not in others and len(others) == len(compiled) + 3
    args.points = "bfloat16"
    points = limit.points(args, limit.Point())
    assert len(points) == 2 * len(compiled)
    assert {(p.width, p.steps * (p.images // p.steps), p.policy) for p in points} == {
        (64, 64, "mixed_bfloat16")
    }


def test_the_relu_network_is_made_of_the_same_layers():
    point = limit.Point(width=8, steps=2, images=4, compiled="none")
    before = keras.config.dtype_policy()
    try:
        kinds = [
            [type(layer) for layer in all_layers(limit.network(kind, point)[0])]
            for kind in ("ReLU", "LIF")
        ]
    finally:
        keras.config.set_dtype_policy(before)
    linear = keras_staa.layers.Conv2D, keras_staa.layers.BatchNormalization
    relu, lif = ([kind for kind in found if kind in linear] for found in kinds)
    assert relu == lif and len(relu) > 30
    assert keras.layers.Conv2D not in kinds[0] + kinds[1]


def test_wrong_dynamics_do_not_agree(capsys):
    rng = np.random.default_rng(0)
    logits, gradients = rng.random((8, 10)), rng.random((5, 3, 3))
    same = {peers.PYTORCH: (logits, gradients), "other": (logits + 1e-7, gradients)}
    assert peers.network_agreement(same)
    wrong = {**same, "other": (logits, gradients * 1.01)}
    assert not peers.network_agreement(wrong)
    wrong = {**same, "other": (logits * 1.01, gradients)}
    assert not peers.network_agreement(wrong)
    assert "| other | 0 of 8 |" in capsys.readouterr().out


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="a network of PyTorch")
@pytest.mark.parametrize("training", [False, True])
def test_the_network_for_pytorch_is_ours(training):
    import torch
    from libraries import resnet

    model = ours.network(width=8, steps=2)
    weights = ours.scattered(ours.weights(model))
    ours.load(model, weights)
    # The neuron itself comes from our library: what is tested is everything around it.
    neuron = keras_staa.layers.LIF(
        decay=ours.DECAY, surrogate=keras_staa.surrogates.Arctan(ours.SLOPE)
    )

    class Neuron(torch.nn.Module):
        def forward(self, x):
            return neuron(x.movedim(0, 1)).movedim(1, 0)

    other = resnet.ResNet19(Neuron, width=8, steps=2)
    resnet.load(other, weights)
    other.train(training)
    x = np.random.default_rng(0).random((1, 32, 32, 3), "float32")
    with torch.no_grad():
        expected = keras.ops.convert_to_numpy(model(x, training=training))
        given = other(torch.from_numpy(x).permute(0, 3, 1, 2)).cpu().numpy()
    np.testing.assert_allclose(given, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="a network of PyTorch")
def test_a_weight_without_a_place():
    import torch
    from libraries import resnet

    weights = ours.weights(ours.network(width=4))
    model = resnet.ResNet19(torch.nn.ReLU, width=4)
    with pytest.raises(ValueError, match="other/kernel"):
        resnet.load(model, {**weights, "other/kernel": np.zeros(1)})
