"""The aggregator and its parts against the NumPy reference, and what they must never do."""

import keras
import numpy as np
import pytest

from keras_staa.layers import (
    LIF,
    STAA,
    STAALIF,
    GlobalContext,
    MeanStepAttention,
    PositionEncoding,
    StepAttention,
)
from tests import reference
from tests.layers.support import (
    assert_near,
    compiled,
    evaluate,
    layer_gradients,
    parts_of,
    randomise,
    reference_gradients,
    reference_parameters,
    rounded,
)

# A gradient in bfloat16 passes through several roundings of 2**-9 each.
TOLERANCE = {"float32": 1e-5, "bfloat16": 3e-2}
POLICY = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
# Inputs whose potentials keep so far from the threshold that rounding flips no spike.
SEED = {"float32": 1, "bfloat16": 6231}
CLEAR = {"float32": 1e-5, "bfloat16": 2e-2}
B, T, H, W, C = 3, 4, 3, 2, 8

STAAS = {
    "staa": {},
    "staa-full": {"position": "full"},
    "staa-sinusoidal": {"position": "sinusoidal"},
    "staa-causal": {"step_gate": "causal"},
    "staa-mean": {"step_gate": "mean"},
    "staa-causal-mean": {"step_gate": "causal_mean"},
    "staa-units": {"step_units": 3},
    "staa-no-position": {"position": None},
    "staa-no-context": {"context": False},
    "staa-no-steps": {"step_gate": False},
    "staa-position-only": {"context": False, "step_gate": False},
    "staa-context-only": {"position": None, "step_gate": False},
    "staa-steps-only": {"position": None, "context": False},
}
SINGLE = {
    "context": ("context", GlobalContext, {"ratio": 2}),
    "steps": ("steps", StepAttention, {}),
    "steps-causal": ("steps", StepAttention, {"causal": True}),
    "mean-steps": ("mean_steps", MeanStepAttention, {}),
    "mean-steps-causal": ("mean_steps", MeanStepAttention, {"causal": True}),
    "axial": ("position", PositionEncoding, {}),
    "full": ("position", PositionEncoding, {"kind": "full"}),
    "sinusoidal": ("position", PositionEncoding, {"kind": "sinusoidal"}),
}


def inputs(dtype="float32", seed=1, steps=T):
    rng = np.random.default_rng(seed)
    x = rounded(rng.normal(0.4, 1.0, (B, steps, H, W, C)), dtype)
    return x, rounded(rng.normal(0, 1, x.shape), dtype)


def make(name, dtype="float32", steps=T):
    """A built layer with random weights, and its parts by the reference's names."""
    if name in SINGLE:
        part, kind, arguments = SINGLE[name]
        layer = kind(**arguments, dtype=POLICY[dtype])
        parts = {part: layer}
    else:
        layer = STAA(ratio=2, seed=3, **STAAS[name], dtype=POLICY[dtype])
        parts = parts_of(layer)
    layer.build((None, steps, H, W, C))
    return randomise(layer, seed=4), parts


def parameters(parts, dtype="float32"):
    params = reference_parameters(parts, dtype)
    if "position" in params and not params["position"]:
        params["position"] = {"e": rounded(waves(T, H, W, C), dtype)}
    if "steps" in parts:
        params["steps"]["causal"] = parts["steps"].causal
    if "mean_steps" in parts and parts["mean_steps"].causal:
        masks = dict(zip(("mask1", "mask2"), causal_masks(T), strict=True))
        params["mean_steps"] |= masks
    return params


def waves(t, h, w, c):
    """The sinusoidal encoding, one number at a time."""
    table = np.zeros((t, h, w, c))
    for *place, channel in np.ndindex(t, h, w, c):
        rate = 10000.0 ** (-2 * (channel // 2) / c)
        wave = np.cos if channel % 2 else np.sin
        table[*place, channel] = np.mean([wave(position * rate) for position in place])
    return table


def causal_masks(steps):
    """Hidden unit k belongs to step floor(k T / K), reads up to it and acts from it on."""
    hidden = max(steps, 4)
    reads, acts = np.zeros((steps, hidden)), np.zeros((hidden, steps))
    for k in range(hidden):
        owner = k * steps // hidden
        reads[: owner + 1, k] = 1
        acts[k, owner:] = 1
    return reads, acts


def check(layer, parts, dtype, training=False):
    x, g = inputs(dtype)
    y, dx, grads = layer_gradients(layer, x, g, training)
    bypass = (y == x).all(axis=(2, 3, 4)) if training else None
    params = parameters(parts, dtype)
    tolerance = TOLERANCE[dtype]
    assert_near(y, reference.staa_forward(x, params, bypass), tolerance, "output")
    expected_dx, expected = reference.staa_backward(x, g, params, bypass)
    assert_near(dx, expected_dx, tolerance, "input")
    weights = layer.trainable_variables
    for v, got, want in zip(weights, grads, reference_gradients(parts, expected), strict=True):
        assert_near(got, want, tolerance, v.path)
    return bypass


@pytest.mark.parametrize("name", [*SINGLE, *STAAS])
def test_output_and_gradients(name):
    check(*make(name), "float32")


@pytest.mark.parametrize("name", [*SINGLE, "staa", "staa-mean", "staa-full", "staa-no-position"])
def test_output_and_gradients_in_bfloat16(name):
    check(*make(name, "bfloat16"), "bfloat16")


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_gradients_where_steps_are_bypassed(dtype):
    layer, parts = make("staa", dtype)
    layer.bypass_rate = 0.5
    bypass = check(layer, parts, dtype, training=True)
    assert 0 < bypass.sum() < bypass.size


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_gradients_with_the_neuron(dtype):
    arguments = {"decay": 0.3, "threshold": 0.8, "reset": "soft", "detach_reset": False}
    layer = STAALIF(ratio=2, **arguments, surrogate="sigmoid", dtype=POLICY[dtype])
    layer.build((None, T, H, W, C))
    randomise(layer)
    x, g = inputs(dtype, seed=SEED[dtype])
    params = parameters(parts_of(layer.staa), dtype)
    neuron = [np.asarray(w, "float64") for w in layer.lif.get_weights()]
    rules = {"threshold": 0.8, "reset": "soft"}
    spikes, potentials = reference.staa_lif_forward(x, params, *neuron, **rules)
    assert np.abs(potentials - 0.8).min() > CLEAR[dtype], "a potential too close to call"
    assert 0.2 < spikes.mean() < 0.8
    y, dx, grads = layer_gradients(layer, x, g)
    np.testing.assert_array_equal(y, spikes)
    expected_dx, parts, ddecay, dgain = reference.staa_lif_backward(
        x, g, params, *neuron, **rules, detach_reset=False, surrogate="sigmoid"
    )
    assert_near(dx, expected_dx, TOLERANCE[dtype], "input")
    expected = [*reference_gradients(parts_of(layer.staa), parts), ddecay, dgain]
    for v, got, want in zip(layer.trainable_variables, grads, expected, strict=True):
        assert_near(got, want, TOLERANCE[dtype], v.path)


@pytest.mark.parametrize("steps", [T, 12])
@pytest.mark.parametrize("training", [False, True])
def test_the_layer_with_a_neuron_is_the_aggregator_then_the_neuron(training, steps):
    arguments = {
        "ratio": 2,
        "position": "full",
        "step_gate": "causal",
        "bypass_rate": 0.4,
        "seed": 5,
    }
    rules = {"decay": 0.3, "gain": 1.1, "threshold": 0.8, "reset": "soft", "surrogate": "arctan"}
    whole = STAALIF(**arguments, **rules)
    pair = keras.Sequential([STAA(**arguments), LIF(learn=True, **rules)])
    for layer in (whole, pair):
        layer.build((None, steps, H, W, C))
    randomise(whole)
    pair.set_weights(whole.get_weights())
    x, g = inputs(steps=steps)
    y, dx, grads = layer_gradients(whole, x, g, training)
    expected, expected_dx, expected_grads = layer_gradients(pair, x, g, training)
    np.testing.assert_array_equal(y, expected)
    assert 0.1 < y.mean() < 0.9
    for got, want in zip([dx, *grads], [expected_dx, *expected_grads], strict=True):
        assert_near(got, want, 1e-5)


@pytest.mark.parametrize(
    "layer",
    [
        GlobalContext(),
        StepAttention(),
        StepAttention(units=3, causal=True),
        MeanStepAttention(),
        PositionEncoding(),
        STAA(),
    ],
    ids=["context", "steps", "steps-causal", "mean-steps", "axial", "staa"],
)
def test_the_start_is_the_identity(layer):
    x = inputs()[0].astype("float32")
    layer.build(x.shape)
    np.testing.assert_array_equal(evaluate(layer, x), x)


def test_bypass_rate_has_no_effect_in_inference():
    outputs = []
    for rate in (0.0, 0.9):
        layer = STAA(ratio=2, bypass_rate=rate)
        layer.build((None, T, H, W, C))
        outputs.append(evaluate(randomise(layer), inputs()[0]))
    np.testing.assert_array_equal(*outputs)


@pytest.mark.parametrize("rate", [0.1, 0.6])
def test_each_step_of_each_sample_is_bypassed_by_itself(rate):
    samples, steps = 64, 48
    layer = STAA(ratio=2, bypass_rate=rate, seed=7)
    layer.build((None, steps, 2, 2, 2))
    randomise(layer)
    x = np.random.default_rng(0).normal(0, 1, (samples, steps, 2, 2, 2)).astype("float32")
    y, full = evaluate(layer, x, training=True), evaluate(layer, x)
    same = y == x
    bypassed = same.all(axis=(2, 3, 4))
    np.testing.assert_allclose(y[~bypassed], full[~bypassed], rtol=1e-5, atol=1e-6)
    assert (full != x).any(axis=(2, 3, 4)).all()
    # Five standard deviations of a binomial; one draw a sample or a step would be 0 or 1.
    deviation = np.sqrt(rate * (1 - rate) / np.array([samples * steps, samples, steps]))
    assert abs(bypassed.mean() - rate) < 5 * deviation[0]
    assert np.abs(bypassed.mean(0) - rate).max() < 5 * deviation[1]
    assert np.abs(bypassed.mean(1) - rate).max() < 5 * deviation[2]


def test_each_call_bypasses_other_steps():
    layer = STAA(ratio=2, bypass_rate=0.5, seed=7)
    x = np.random.default_rng(0).normal(0, 1, (4, 16, 2, 2, 2)).astype("float32")
    layer.build(x.shape)
    randomise(layer)
    masks = [
        (np.asarray(keras.ops.convert_to_numpy(layer(x, training=True))) == x).all((2, 3, 4))
        for _ in range(2)
    ]
    assert (masks[0] != masks[1]).any()


CAUSAL = {
    "steps": lambda: StepAttention(causal=True),
    "mean steps": lambda: MeanStepAttention(causal=True),
    "staa": lambda: STAA(ratio=2, step_gate="causal"),
    "staalif": lambda: STAALIF(ratio=2, step_gate="causal"),
}


@pytest.mark.parametrize("steps", [3, 4, 7])
@pytest.mark.parametrize("name", CAUSAL)
def test_a_causal_layer_never_looks_ahead(name, steps):
    layer = CAUSAL[name]()
    layer.build((None, steps, H, W, C))
    randomise(layer, seed=3)
    rng = np.random.default_rng(3)
    x = rng.normal(0.4, 1, (B, steps, H, W, C)).astype("float32")
    call = compiled(layer)
    y = call(x)
    for t in range(steps):
        changed = x.copy()
        changed[:, t] = 3 * x[:, t] + 5
        after = call(changed)
        np.testing.assert_array_equal(after[:, :t], y[:, :t])
        assert (after[:, t] != y[:, t]).any()
        assert t == steps - 1 or (after[:, t + 1 :] != y[:, t + 1 :]).any()


@pytest.mark.parametrize("name", ["steps", "mean-steps"])
def test_the_plain_step_attention_looks_ahead(name):
    layer, _ = make(name)
    x = inputs()[0]
    changed = x.copy()
    changed[:, -1] += 5
    assert (evaluate(layer, x)[:, 0] != evaluate(layer, changed)[:, 0]).any()


def test_one_place_needs_no_softmax(recwarn):
    """Over a single place the attended mean is the value itself, and Keras has nothing to warn."""
    layer = STAA(ratio=2, bypass_rate=0.0)
    layer.build((None, T, 1, 1, C))
    randomise(layer)
    x = np.random.default_rng(0).normal(0.4, 1, (B, T, 1, 1, C)).astype("float32")
    expected = reference.staa_forward(x, parameters(parts_of(layer)))
    assert_near(evaluate(layer, x), expected, 1e-5)
    model = keras.Sequential([keras.Input(x.shape[1:]), layer])
    model.compile("sgd", "mse")
    model.train_on_batch(x, np.zeros_like(x))
    assert [str(w.message) for w in recwarn if issubclass(w.category, UserWarning)] == []
