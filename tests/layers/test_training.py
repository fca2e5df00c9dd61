"""A step of an optimizer through `compile` against a gradient by hand; weights for another T."""

import keras
import numpy as np
import pytest

from keras_staa.layers import (
    STAALIF,
    MeanOverSteps,
    MeanStepAttention,
    PerStep,
    PositionEncoding,
    StepAttention,
)
from tests import reference
from tests.layers.support import (
    evaluate,
    layer_gradients,
    parts_of,
    randomise,
    reference_gradients,
    reference_parameters,
)

B, T, H, W, INPUTS, C, CLASSES = 4, 4, 5, 4, 3, 8, 5
RATE = 0.1


def network():
    """A convolution, the aggregator with its neuron, pooling and a read-out, weights random."""
    layers = {
        "conv": keras.layers.Conv2D(C, 3, padding="same", use_bias=False),
        # Every step of every sample passes through the aggregator, so that the step is exact.
        "neuron": STAALIF(ratio=2, bypass_rate=0.0, surrogate="sigmoid"),
        "dense": keras.layers.Dense(CLASSES),
    }
    model = keras.Sequential(
        [
            keras.Input((T, H, W, INPUTS)),
            PerStep(layers["conv"]),
            layers["neuron"],
            PerStep(keras.layers.GlobalAveragePooling2D()),
            PerStep(layers["dense"]),
            MeanOverSteps(),
        ]
    )
    return randomise(model, seed=1), layers


def data():
    rng = np.random.default_rng(2)
    x = rng.normal(0.3, 1, (B, T, H, W, INPUTS)).astype("float32")
    return x, rng.integers(0, CLASSES, B)


def windows(x):
    """The 3 x 3 neighborhoods of every place, zeros outside: (B, T, H, W, 3, 3, INPUTS)."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1), (0, 0)))
    rows = [[padded[:, :, i : i + H, j : j + W] for j in range(3)] for i in range(3)]
    return np.moveaxis(np.array(rows, "float64"), (0, 1), (4, 5))


def gradients_by_hand(model, layers, x, labels):
    """Of the cross-entropy's mean over the batch, in the order of the model's weights."""
    kernel, *_, decay, gain, dense, bias = (np.asarray(w, "float64") for w in model.get_weights())
    params = reference_parameters(parts_of(layers["neuron"].staa))
    current = np.einsum("bthwijc,ijco->bthwo", windows(x), kernel)
    spikes, potentials = reference.staa_lif_forward(current, params, decay, gain)
    assert np.abs(potentials - 1).min() > 1e-5, "a potential too close to call in float32"
    assert 0.1 < spikes.mean() < 0.9
    pooled = spikes.mean((2, 3))
    logits = (pooled @ dense + bias).mean(1)
    chances = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)

    dlogits = (chances - np.eye(CLASSES)[labels]) / B
    dsteps = np.repeat(dlogits[:, None], T, axis=1) / T
    dspikes = (dsteps @ dense.T)[:, :, None, None] / (H * W) * np.ones_like(spikes)
    dcurrent, parts, ddecay, dgain = reference.staa_lif_backward(
        current, dspikes, params, decay, gain, surrogate="sigmoid"
    )
    return [
        np.einsum("bthwijc,bthwo->ijco", windows(x), dcurrent),
        *reference_gradients(parts_of(layers["neuron"].staa), parts),
        ddecay,
        dgain,
        np.einsum("btc,btk->ck", pooled, dsteps),
        dlogits.sum(0),
    ]


def test_one_step_of_sgd_moves_every_weight_by_its_gradient():
    model, layers = network()
    x, labels = data()
    before = model.get_weights()
    expected = gradients_by_hand(model, layers, x, labels)
    # The loss is scaled so that the steps stand out from the rounding of the weights.
    scale = 100.0
    model.compile(
        keras.optimizers.SGD(RATE),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        loss_weights=[scale],
    )
    model.train_on_batch(x, labels)
    for v, old, gradient in zip(model.trainable_variables, before, expected, strict=True):
        moved = keras.ops.convert_to_numpy(v).astype("float64") - old
        wanted = -RATE * scale * gradient
        largest = np.abs(wanted).max()
        assert largest > 1e-3, f"{v.path} does not move"
        assert moved.shape == wanted.shape
        error = np.abs(moved - wanted).max()
        assert error < 1e-4 * largest + 5e-7, f"{v.path}: {error:.1e} of {largest:.1e}"


def test_bypassed_steps_still_train_every_weight():
    model, layers = network()
    layers["neuron"].staa.bypass_rate = 0.5
    before = model.get_weights()
    model.compile(
        keras.optimizers.SGD(RATE), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    model.fit(*data(), batch_size=2, epochs=2, verbose=0)
    for v, old in zip(model.trainable_variables, before, strict=True):
        assert (keras.ops.convert_to_numpy(v) != old).any(), v.path


# Weights for another T.


def built(layer, *sizes):
    layer.build((None, *sizes))
    return layer


def set_weights(layer, *values):
    layer.set_weights([np.array(value, "float32") for value in values])


@pytest.mark.parametrize(
    "make",
    [
        PositionEncoding,
        lambda: PositionEncoding("full"),
        StepAttention,
        lambda: StepAttention(causal=True),
        MeanStepAttention,
        lambda: MeanStepAttention(causal=True),
    ],
    ids=["axial", "full", "steps", "steps-causal", "mean-steps", "mean-steps-causal"],
)
@pytest.mark.parametrize("steps", [1, 3, 6])
def test_the_same_sizes_are_an_exact_copy(make, steps):
    source = randomise(built(make(), steps, 3, 2, 4))
    copy = built(make(), steps, 3, 2, 4)
    copy.transfer_from(source)
    for got, wanted in zip(copy.get_weights(), source.get_weights(), strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_steps_of_the_encoding_are_interpolated():
    one = built(PositionEncoding(), 1, 2, 2, 2)
    set_weights(one, [[5, -1]], [[1, 2], [3, 4]], [[6, 7], [8, 9]])
    two = built(PositionEncoding(), 2, 2, 2, 2)
    two.transfer_from(one)
    np.testing.assert_array_equal(two.get_weights()[0], [[5, -1], [5, -1]])
    two.axes[0].assign([[0.0, 8.0], [4.0, 0.0]])
    four = built(PositionEncoding(), 4, 2, 2, 2)
    four.transfer_from(two)
    # New steps lie at -1/4, 1/4, 3/4, 5/4 of the old ones; outside, the end holds.
    np.testing.assert_allclose(four.get_weights()[0], [[0, 8], [1, 6], [3, 2], [4, 0]])
    for got, wanted in zip(four.get_weights()[1:], one.get_weights()[1:], strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_every_axis_of_a_full_encoding_is_interpolated():
    source = built(PositionEncoding("full"), 2, 2, 2, 1)
    t, h, w = np.meshgrid([0, 1], [0, 1], [0, 1], indexing="ij")
    source.set_weights([(100 * t + 10 * h + w).astype("float32")[..., None]])
    target = built(PositionEncoding("full"), 4, 1, 2, 1)
    target.transfer_from(source)
    expected = 100 * np.array([0, 0.25, 0.75, 1])[:, None] + 5 + np.array([0, 1])
    np.testing.assert_allclose(target.get_weights()[0][:, 0, :, 0], expected, rtol=1e-6)


def test_a_fixed_encoding_has_nothing_to_transfer():
    target = built(PositionEncoding("sinusoidal"), 4, 2, 2, 2)
    target.transfer_from(built(PositionEncoding("sinusoidal"), 2, 2, 2, 2))
    assert target.weights == []


@pytest.mark.parametrize("kind", [StepAttention, MeanStepAttention])
@pytest.mark.parametrize(("old", "new"), [(1, 2), (2, 4), (1, 4)])
def test_step_gates_stay_when_steps_are_repeated(kind, old, new):
    """Each old step stands for new / old new ones: shown twice as often, gated the same."""
    source = randomise(built(kind(), old, 3, 2, 4), seed=3)
    target = built(kind(), new, 3, 2, 4)
    target.transfer_from(source)
    x = np.random.default_rng(0).normal(0.5, 1, (2, old, 3, 2, 4)).astype("float32")
    expected = np.repeat(evaluate(source, x), new // old, axis=1)
    assert np.abs(expected - np.repeat(x, new // old, axis=1)).max() > 0.1
    repeated = np.repeat(x, new // old, axis=1)
    np.testing.assert_allclose(evaluate(target, repeated), expected, rtol=1e-5, atol=1e-6)


def test_step_weights_by_hand():
    one = built(MeanStepAttention(), 1, 2, 2, 1)
    set_weights(one, [[2, 4, 6, 8]], [1, 2, 3, 4], [[1], [3], [5], [7]], [9])
    two = built(MeanStepAttention(), 2, 2, 2, 1)
    two.transfer_from(one)
    squeeze, squeeze_bias, excite, excite_bias = two.get_weights()
    np.testing.assert_array_equal(squeeze, [[1, 2, 3, 4], [1, 2, 3, 4]])
    np.testing.assert_array_equal(squeeze_bias, [1, 2, 3, 4])
    np.testing.assert_array_equal(excite, [[1, 1], [3, 3], [5, 5], [7, 7]])
    np.testing.assert_array_equal(excite_bias, [9, 9])


def test_step_attention_takes_no_weights_of_its_first_form():
    target = built(StepAttention(), 4, 2, 2, 3)
    with pytest.raises(ValueError, match=r"'step_gate': 'mean'"):
        target.transfer_from(built(MeanStepAttention(), 4, 2, 2, 3))


@pytest.mark.parametrize("causal", [False, True])
def test_every_weight_of_the_gate_has_a_gradient_from_the_start(causal):
    layer = built(StepAttention(causal=causal), 4, 3, 2, 8)
    rng = np.random.default_rng(0)
    x, g = rng.normal(0.5, 1, (2, 16, 4, 3, 2, 8)).astype("float32")
    _, _, grads = layer_gradients(layer, x, g)
    for weight, gradient in zip(layer.trainable_variables, grads, strict=True):
        assert np.abs(gradient).min() > 0, weight.path
