"""The reference of the aggregator against loops and differences."""

import math

import numpy as np
import pytest

from tests import reference as ref
from tests.numeric import SMOOTH_SPIKES, assert_gradients

B, T, H, W, C, RATIO = 2, 3, 2, 3, 8, 2


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def random_current(rng):
    return rng.normal(size=(B, T, H, W, C))


def random_position(rng, kind="axial"):
    if kind == "full":
        return {"e": rng.normal(size=(T, H, W, C))}
    return {name: rng.normal(size=(size, C)) for name, size in (("a", T), ("b", H), ("d", W))}


def random_context(rng, bias=True):
    context = {
        "w_key": rng.normal(size=C),
        "w1": rng.normal(size=(C, C // RATIO)),
        "ln_gamma": rng.normal(1.0, 0.3, C // RATIO),
        "ln_beta": rng.normal(0.0, 0.3, C // RATIO),
        "w2": rng.normal(size=(C // RATIO, C)),
    }
    if bias:
        context |= {"b1": rng.normal(size=C // RATIO), "b2": rng.normal(size=C)}
    return context


def causal_masks(steps, units_a_step=2):
    """Hidden unit j belongs to step j // units_a_step: it sees steps up to it, feeds from it on."""
    owner, step = np.repeat(np.arange(steps), units_a_step), np.arange(steps)
    return np.float64(step[:, None] <= owner), np.float64(owner[:, None] <= step)


def random_steps(rng, causal=False):
    hidden = 6
    return {
        "u1": rng.normal(size=(C, hidden)),
        "b1": rng.uniform(0.1, 0.6, hidden) * np.tile([1, -1], hidden // 2),
        "u2": rng.normal(0.0, 0.5, (hidden, 1)),
        "b2": rng.normal(size=1),
        "causal": causal,
    }


def random_mean_steps(rng, causal=False):
    # Biases of either sign, so that some hidden units fire and some do not; a small U_2, because
    # a saturated gate has no gradient worth comparing.
    hidden = 2 * T
    steps = {
        "u1": rng.normal(size=(T, hidden)),
        "b1": rng.uniform(0.3, 1.0, hidden) * np.tile([1, -1], T),
        "u2": rng.normal(0.0, 0.5, (hidden, T)),
        "b2": rng.normal(size=T),
    }
    if causal:
        steps["mask1"], steps["mask2"] = causal_masks(T)
    return steps


RANDOM = {"steps": random_steps, "mean_steps": random_mean_steps}


def learned(part):
    fixed = ("causal", "mask1", "mask2")
    return {name: array for name, array in part.items() if name not in fixed}


def test_axial_position_encoding(rng):
    x, g, position = random_current(rng), random_current(rng), random_position(rng)
    dx, gradients = ref.position_encoding_backward(g)
    assert_gradients(
        lambda: np.sum(g * ref.position_encoding(x, **position)),
        {"x": x, **position},
        {"x": dx, **gradients},
    )


def test_full_position_encoding(rng):
    x, g, position = random_current(rng), random_current(rng), random_position(rng, "full")
    dx, gradients = ref.full_position_encoding_backward(g)
    assert_gradients(
        lambda: np.sum(g * ref.full_position_encoding(x, **position)),
        {"x": x, **position},
        {"x": dx, **gradients},
    )


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("eps", [1e-3, 0.5])
def test_global_context_gradient(rng, bias, eps):
    x, g, context = random_current(rng), rng.normal(size=(B, T, C)), random_context(rng, bias)
    dx, gradients = ref.global_context_backward(x, g, **context, eps=eps)
    assert_gradients(
        lambda: np.sum(g * ref.global_context_forward(x, **context, eps=eps)),
        {"x": x, **context},
        {"x": dx, **gradients},
    )


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("name", ref.STEP_GATES)
def test_step_attention_gradient(rng, name, causal):
    x, g, steps = random_current(rng), rng.normal(size=(B, T)), RANDOM[name](rng, causal)
    forward, backward = ref.STEP_GATES[name]
    dx, gradients = backward(x, g, **steps)
    assert_gradients(
        lambda: np.sum(g * forward(x, **steps)),
        {"x": x, **learned(steps)},
        {"x": dx, **gradients},
    )


@pytest.mark.parametrize("name", ref.STEP_GATES)
def test_causal_step_attention_is_causal(rng, name):
    x, steps = random_current(rng), RANDOM[name](rng, causal=True)
    gate = ref.STEP_GATES[name][0](x, **steps)
    for t in range(T):
        changed = x.copy()
        changed[:, t] += rng.normal(1.0, 1.0, C)
        same = ref.STEP_GATES[name][0](changed, **steps) == gate
        # The first step differs from no step before it.
        first = name == "steps" and t == 0
        assert same[:, : t + first].all() and not same[:, t + first :].any()


def test_the_gate_of_a_step_is_that_of_its_difference_from_the_mean(rng):
    x, steps = random_current(rng), random_steps(rng)
    gate = ref.step_attention_forward(x, **steps)
    for b in range(B):
        means = [x[b, t].reshape(-1, C).mean(0) for t in range(T)]
        for t in range(T):
            d = means[t] - sum(means) / T
            hidden = [
                max(float(d @ column + bias), 0.0)
                for column, bias in zip(steps["u1"].T, steps["b1"], strict=True)
            ]
            q = sum(h * float(u) for h, u in zip(hidden, steps["u2"][:, 0], strict=True))
            assert gate[b, t] == pytest.approx(2 / (1 + math.exp(-q - float(steps["b2"][0]))))


def test_masked_weights_have_no_gradient(rng):
    x, steps = random_current(rng), random_mean_steps(rng, causal=True)
    _, gradients = ref.mean_step_attention_backward(x, rng.normal(size=(B, T)), **steps)
    assert not gradients["u1"][steps["mask1"] == 0].any()
    assert not gradients["u2"][steps["mask2"] == 0].any()


def test_gates_are_the_identity_at_the_start(rng):
    x, context, steps = random_current(rng), random_context(rng), random_steps(rng)
    context["w2"][:], context["b2"][:], steps["u2"][:], steps["b2"][:] = 0, 0, 0, 0
    np.testing.assert_array_equal(ref.staa_forward(x, {"context": context, "steps": steps}), x)


BYPASS = np.array([[False, True, False], [True, False, False]])
ALL_PARTS = ("position", "context", "steps")


def random_params(rng, parts=ALL_PARTS, kind="axial", causal=False):
    params = {
        "position": random_position(rng, kind),
        "context": random_context(rng),
        "steps": random_steps(rng, causal),
    }
    return {part: params[part] for part in parts}


def flatten(params):
    return {
        (part, name): array
        for part, arrays in params.items()
        for name, array in learned(arrays).items()
    }


@pytest.mark.parametrize("bypass", [None, BYPASS], ids=["whole", "bypass"])
@pytest.mark.parametrize(
    ("parts", "kind", "causal"),
    [
        (ALL_PARTS, "axial", False),
        (ALL_PARTS, "full", True),
        (("position",), "axial", False),
        (("context",), None, False),
        (("steps",), None, False),
        (("position", "steps"), "axial", True),
        (("position", "context"), "full", False),
    ],
)
def test_staa_gradient(rng, parts, kind, causal, bypass):
    x, g, params = random_current(rng), random_current(rng), random_params(rng, parts, kind, causal)
    dx, gradients = ref.staa_backward(x, g, params, bypass)
    assert_gradients(
        lambda: np.sum(g * ref.staa_forward(x, params, bypass)),
        {"x": x, **flatten(params)},
        {"x": dx, **flatten(gradients)},
    )


def test_bypassed_steps_pass_input_and_gradient(rng):
    x, g, params = random_current(rng), random_current(rng), random_params(rng, ("context",))
    whole, y = ref.staa_forward(x, params), ref.staa_forward(x, params, BYPASS)
    np.testing.assert_array_equal(y[BYPASS], x[BYPASS])
    np.testing.assert_array_equal(y[~BYPASS], whole[~BYPASS])
    assert not np.isclose(whole, x).all(axis=(2, 3, 4)).any()
    dx, _ = ref.staa_backward(x, g, params, BYPASS)
    np.testing.assert_array_equal(dx[BYPASS], g[BYPASS])


def test_staa_without_parts_is_the_identity(rng):
    x, g = random_current(rng), random_current(rng)
    np.testing.assert_array_equal(ref.staa_forward(x, {}), x)
    dx, gradients = ref.staa_backward(x, g, {})
    np.testing.assert_array_equal(dx, g)
    assert gradients == {}


def slow_channel_steps(encoded, steps):
    """q[t] of one sample, from the means of each channel."""
    p = [[encoded[t, :, :, c].sum() / (H * W) for c in range(C)] for t in range(T)]
    q = []
    for t in range(T):
        seen = range(t + 1) if steps["causal"] else range(T)
        d = [p[t][c] - sum(p[s][c] for s in seen) / len(seen) for c in range(C)]
        total = steps["b2"][0]
        for k in range(len(steps["b1"])):
            m = sum(d[c] * steps["u1"][c, k] for c in range(C)) + steps["b1"][k]
            total += max(0.0, m) * steps["u2"][k, 0]
        q.append(total)
    return q


def slow_mean_steps(encoded, steps):
    """q[t] of one sample, from the means over all channels."""
    p = [encoded[t].sum() / (H * W * C) for t in range(T)]
    units = range(len(steps["b1"]))
    relu = [
        max(
            0.0,
            sum(p[t] * steps["u1"][t, k] * steps["mask1"][t, k] for t in range(T)) + steps["b1"][k],
        )
        for k in units
    ]
    return [
        sum(relu[k] * steps["u2"][k, t] * steps["mask2"][k, t] for k in units) + steps["b2"][t]
        for t in range(T)
    ]


SLOW_STEPS = {"steps": slow_channel_steps, "mean_steps": slow_mean_steps}


def slow_staa(x, params, bypass, eps=1e-3):
    """One number at a time, as the equations are read."""
    position, context = params["position"], params["context"]
    (name,) = set(params) & set(SLOW_STEPS)
    places = [(h, w) for h in range(H) for w in range(W)]
    hidden = range(C // RATIO)

    def gate(z):
        return 2 / (1 + math.exp(-z))

    y = np.zeros(x.shape)
    for b in range(B):
        encoded = np.zeros((T, H, W, C))
        gate_channel = np.zeros((T, C))
        for t in range(T):
            for h, w in places:
                for c in range(C):
                    e = position["a"][t, c] + position["b"][h, c] + position["d"][w, c]
                    encoded[t, h, w, c] = x[b, t, h, w, c] + e
            keys = {
                (h, w): sum(context["w_key"][c] * encoded[t, h, w, c] for c in range(C))
                for h, w in places
            }
            total = sum(math.exp(k) for k in keys.values())
            pooled = [
                sum(math.exp(keys[h, w]) / total * encoded[t, h, w, c] for h, w in places)
                for c in range(C)
            ]
            u = [
                sum(pooled[c] * context["w1"][c, j] for c in range(C)) + context["b1"][j]
                for j in hidden
            ]
            mean = sum(u) / len(u)
            variance = sum((value - mean) ** 2 for value in u) / len(u)
            relu = [
                max(
                    0.0,
                    context["ln_gamma"][j] * (u[j] - mean) / math.sqrt(variance + eps)
                    + context["ln_beta"][j],
                )
                for j in hidden
            ]
            for c in range(C):
                z = sum(relu[j] * context["w2"][j, c] for j in hidden) + context["b2"][c]
                gate_channel[t, c] = gate(z)
        gate_step = [gate(q) for q in SLOW_STEPS[name](encoded, params[name])]
        for t in range(T):
            for h, w in places:
                for c in range(C):
                    enriched = encoded[t, h, w, c] * gate_channel[t, c] * gate_step[t]
                    y[b, t, h, w, c] = x[b, t, h, w, c] if bypass[b, t] else enriched
    return y


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("name", ref.STEP_GATES)
def test_staa_forward_equals_loops(rng, name, causal):
    x, params = random_current(rng), random_params(rng, parts=("position", "context"))
    # The loops have masks in any case.
    params[name] = RANDOM[name](rng, causal or name == "mean_steps")
    y, slow = ref.staa_forward(x, params, BYPASS), slow_staa(x, params, BYPASS)
    np.testing.assert_allclose(y, slow, rtol=1e-12, atol=1e-14)
    embedding = rng.normal(size=(T, H, W, C))
    gates = {part: params[part] for part in ("context", name)}
    np.testing.assert_array_equal(
        ref.staa_forward(x, {"position": {"e": embedding}, **gates}),
        ref.staa_forward(x + embedding, gates),
    )


@pytest.mark.parametrize("reset", ["hard", "soft"])
def test_staa_lif_gradient(rng, reset):
    x, g, params = random_current(rng), random_current(rng), random_params(rng)
    decay, gain = rng.uniform(0.3, 0.9, C), rng.uniform(0.8, 1.3, C)
    spike = SMOOTH_SPIKES["sigmoid"]
    dx, gradients, ddecay, dgain = ref.staa_lif_backward(
        x,
        g,
        params,
        decay,
        gain,
        BYPASS,
        reset=reset,
        detach_reset=False,
        surrogate="sigmoid",
        spike=spike,
    )

    def loss():
        spikes, _ = ref.staa_lif_forward(x, params, decay, gain, BYPASS, reset=reset, spike=spike)
        return np.sum(g * spikes)

    assert_gradients(
        loss,
        {"x": x, "decay": decay, "gain": gain, **flatten(params)},
        {"x": dx, "decay": ddecay, "gain": dgain, **flatten(gradients)},
    )
