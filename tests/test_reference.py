"""Judges the judge: `reference.py` against central differences, hand-computed numbers, loops."""

import math

import numpy as np
import pytest

from tests import reference as ref

B, T, H, W, C, RATIO = 2, 3, 2, 3, 8, 2


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def assert_gradients(loss, arrays, gradients, step=1e-5):
    """Central differences of `loss()` in every entry of every array, in place.

    The error is relative to the largest entry of each gradient, which must not be zero.
    """
    assert arrays.keys() == gradients.keys()
    for name, array in arrays.items():
        numeric = np.empty_like(array)
        for index in np.ndindex(array.shape):
            start = array[index]
            array[index] = start + step
            above = loss()
            array[index] = start - step
            below = loss()
            array[index] = start
            numeric[index] = (above - below) / (2 * step)
        assert np.shape(gradients[name]) == array.shape, name
        scale = np.abs(numeric).max()
        assert scale > 1e-3, f"no gradient to compare for {name}"
        error = np.abs(gradients[name] - numeric).max() / scale
        assert error < 1e-6, f"{name}: relative error {error:.1e}"


# Surrogates.

# The integral of each surrogate: a smooth spike, of which it is the derivative.
SMOOTH_SPIKES = {
    "rectangular": lambda u: np.clip(u + 1 / 2, 0, 1),
    "triangular": lambda u: np.where(
        u < 0, np.clip(1 + u, 0, 1) ** 2 / 2, 1 - np.clip(1 - u, 0, 1) ** 2 / 2
    ),
    "sigmoid": lambda u: 1 / (1 + np.exp(-4 * u)),
    "arctan": lambda u: 1 / 2 + np.arctan(np.pi / 2 * 2 * u) / np.pi,
}


@pytest.mark.parametrize("parameter", [None, 0.5, 3.0])
@pytest.mark.parametrize("name", ref.SURROGATES)
def test_surrogate_integrates_to_one(name, parameter):
    # The whole line through u = tan(angle), for the heavy tails of arctan; midpoint rule.
    cells = 200_000
    angle = (np.arange(cells) + 0.5) / cells * np.pi - np.pi / 2
    surrogate = ref.SURROGATES[name]
    values = surrogate(np.tan(angle), *([] if parameter is None else [parameter]))
    assert np.all(values >= 0)
    np.testing.assert_allclose(np.sum(values / np.cos(angle) ** 2) * np.pi / cells, 1, atol=1e-4)


def test_surrogate_values():
    np.testing.assert_array_equal(ref.rectangular([-0.5, -0.49, 0, 0.49, 0.5]), [0, 1, 1, 1, 0])
    np.testing.assert_array_equal(ref.rectangular([0.9, 1.1], width=2), [0.5, 0])
    np.testing.assert_array_equal(ref.triangular([-2, -0.25, 0, 0.5, 1]), [0, 0.75, 1, 0.5, 0])
    np.testing.assert_array_equal(ref.triangular([0, 1], width=2), [0.5, 0.25])
    # s(ln 3) = 3/4 and s(-ln 3) = 1/4, so k s (1 - s) = 3k/16.
    np.testing.assert_allclose(ref.sigmoid([0, math.log(3) / 4]), [1, 0.75])
    np.testing.assert_allclose(ref.sigmoid([0, -math.log(3)], slope=1), [0.25, 3 / 16])
    # pi/2 k u = 1 halves the peak of k/2.
    np.testing.assert_allclose(ref.arctan([0, 1 / np.pi, -1 / np.pi]), [1, 0.5, 0.5])
    np.testing.assert_allclose(ref.arctan([0, 2 / np.pi], slope=1), [0.5, 0.25])


# The neuron.


def slow_lif(x, decay, gain, threshold, reset):
    """Batch by batch, step by step, channel by channel."""
    spikes, potentials = np.zeros(x.shape), np.zeros(x.shape)
    batch, steps, channels = x.shape
    for b in range(batch):
        for c in range(channels):
            h = 0.0
            for t in range(steps):
                v = decay[c] * h + gain[c] * x[b, t, c]
                s = 1.0 if v >= threshold else 0.0
                h = v
                if s:
                    h = 0.0 if reset == "hard" else v - threshold
                spikes[b, t, c], potentials[b, t, c] = s, v
    return spikes, potentials


@pytest.mark.parametrize("reset", ["hard", "soft"])
def test_lif_forward_equals_loops(rng, reset):
    x = rng.normal(0.5, 1.0, (2, 6, 3))
    decay, gain = rng.uniform(0.2, 0.9, 3), rng.uniform(0.8, 1.5, 3)
    spikes, potentials = ref.lif_forward(x, decay, gain, 0.7, reset)
    slow_spikes, slow_potentials = slow_lif(x, decay, gain, 0.7, reset)
    assert 0 < spikes.mean() < 1
    np.testing.assert_array_equal(spikes, slow_spikes)
    np.testing.assert_allclose(potentials, slow_potentials, rtol=1e-14, atol=1e-15)


def test_lif_fires_exactly_at_the_threshold():
    spikes, potentials = ref.lif_forward([[0.5, 0.75, 1.0]], decay=0.5, gain=1.0)
    np.testing.assert_array_equal(potentials, [[0.5, 1.0, 1.0]])
    np.testing.assert_array_equal(spikes, [[0, 1, 1]])


@pytest.mark.parametrize("shape", [(2, 4), (2, 4, 3), (2, 4, 2, 2, 3)])
def test_lif_takes_any_rank(rng, shape):
    x, g = rng.normal(0.5, 1.0, shape), rng.normal(size=shape)
    as_channels = (2, 4, -1)
    channels = x.reshape(as_channels).shape[-1]
    spikes, _ = ref.lif_forward(x, 0.5, 1.2)
    slow, _ = slow_lif(x.reshape(as_channels), [0.5] * channels, [1.2] * channels, 1.0, "hard")
    np.testing.assert_array_equal(spikes, slow.reshape(shape))

    dx, ddecay, dgain = ref.lif_backward(x, g, 0.5, 1.2)
    assert dx.shape == shape and np.shape(ddecay) == np.shape(dgain) == ()
    if len(shape) > 2:
        # A shared coefficient's gradient is the sum of those of separate ones.
        same, by_channel, dgain_scalar = ref.lif_backward(x, g, np.full(3, 0.5), 1.2)
        assert by_channel.shape == (3,) and np.shape(dgain_scalar) == ()
        np.testing.assert_allclose(by_channel.sum(), ddecay)
        np.testing.assert_array_equal(same, dx)


def test_lif_rejects_what_it_cannot_mean():
    with pytest.raises(ValueError, match="scalars where `x` is"):
        ref.lif_forward(np.zeros((3, 3)), np.ones(3), 1.0)
    with pytest.raises(ValueError, match="Received: reset='none'"):
        ref.lif_forward(np.zeros((3, 3)), 0.5, 1.0, reset="none")


# One neuron, T = 3, M = 0.5, N = 2, V_th = 1, surrogate rectangular (width 1: sg = 1 in all three
# steps, as 0.5 < V < 1.5), currents I and incoming gradients g:
HAND_I, HAND_G = [[0.625, 0.375, 0.5]], [[1.0, 2.0, 4.0]]
# Hard reset:
#   V[0] = 2*0.625            = 1.25    S = 1   H[0] = 0
#   V[1] = 0.5*0    + 2*0.375 = 0.75    S = 0   H[1] = 0.75
#   V[2] = 0.5*0.75 + 2*0.5   = 1.375   S = 1
#   detached: dH/dV = 1 - S                 in full: dH/dV = 1 - S - V*sg
#     dV[2] = 4                               dV[2] = 4
#     dV[1] = 2 + (0.5*4)*1 = 4               dV[1] = 2 + (0.5*4)*(1 - 0.75) = 2.5
#     dV[0] = 1 + (0.5*4)*0 = 1               dV[0] = 1 + (0.5*2.5)*(0 - 1.25) = -0.5625
#     dM = 4*0.75 + 4*0 = 3                   dM = 4*0.75 + 2.5*0 = 3
#     dN = 1*0.625 + 4*0.375 + 4*0.5          dN = -0.5625*0.625 + 2.5*0.375 + 4*0.5
#        = 4.125                                 = 2.5859375
# Soft reset:
#   V[0] = 1.25                       S = 1   H[0] = 0.25
#   V[1] = 0.5*0.25  + 0.75 = 0.875   S = 0   H[1] = 0.875
#   V[2] = 0.5*0.875 + 1    = 1.4375  S = 1
#   detached: dH/dV = 1                     in full: dH/dV = 1 - V_th*sg = 0
#     dV[2] = 4                               dV[2] = 4
#     dV[1] = 2 + 0.5*4 = 4                   dV[1] = 2
#     dV[0] = 1 + 0.5*4 = 3                   dV[0] = 1
#     dM = 4*0.875 + 4*0.25 = 4.5             dM = 4*0.875 + 2*0.25 = 4
#     dN = 3*0.625 + 4*0.375 + 4*0.5          dN = 1*0.625 + 2*0.375 + 4*0.5
#        = 5.375                                 = 3.375
HAND_V = {"hard": [[1.25, 0.75, 1.375]], "soft": [[1.25, 0.875, 1.4375]]}


@pytest.mark.parametrize(
    ("reset", "detach", "dv", "ddecay", "dgain"),
    [
        ("hard", True, [1, 4, 4], 3, 4.125),
        ("hard", False, [-0.5625, 2.5, 4], 3, 2.5859375),
        ("soft", True, [3, 4, 4], 4.5, 5.375),
        ("soft", False, [1, 2, 4], 4, 3.375),
    ],
)
def test_lif_by_hand(reset, detach, dv, ddecay, dgain):
    spikes, potentials = ref.lif_forward(HAND_I, 0.5, 2.0, 1.0, reset)
    np.testing.assert_array_equal(spikes, [[1, 0, 1]])
    np.testing.assert_array_equal(potentials, HAND_V[reset])
    gradients = ref.lif_backward(HAND_I, HAND_G, 0.5, 2.0, 1.0, reset, detach, "rectangular")
    np.testing.assert_array_equal(gradients[0], [2.0 * np.array(dv)])
    np.testing.assert_array_equal(gradients[1:], [ddecay, dgain])


def lif_with_given_reset(x, decay, gain, threshold, reset, spike, given):
    """What a detached reset differentiates: the reset's spikes are constants, `given`."""
    h, spikes = 0.0, []
    for t in range(x.shape[1]):
        v = decay * h + gain * x[:, t]
        spikes.append(spike(v - threshold))
        h = v * (1 - given[:, t]) if reset == "hard" else v - threshold * given[:, t]
    return np.stack(spikes, axis=1)


@pytest.mark.parametrize("shape", [(2, 5), (2, 4, 2, 3)])
@pytest.mark.parametrize("detach", [True, False])
@pytest.mark.parametrize("reset", ["hard", "soft"])
@pytest.mark.parametrize("name", ref.SURROGATES)
def test_smoothed_lif_gradient(rng, name, reset, detach, shape):
    """With S the integral of the surrogate, the formulas are exact gradients."""
    threshold, spike = 0.8, SMOOTH_SPIKES[name]
    channels = shape[-1:] if len(shape) > 2 else ()
    x, g = rng.normal(0.6, 0.7, shape), rng.normal(size=shape)
    decay, gain = rng.uniform(0.3, 0.9, channels), rng.uniform(0.8, 1.3, channels)
    arrays = {"x": x, "decay": np.asarray(decay), "gain": np.asarray(gain)}
    given, _ = ref.lif_forward(x, decay, gain, threshold, reset, spike)

    def loss():
        m, n = arrays["decay"], arrays["gain"]
        if detach:
            spikes = lif_with_given_reset(x, m, n, threshold, reset, spike, given)
        else:
            spikes, _ = ref.lif_forward(x, m, n, threshold, reset, spike)
        return np.sum(g * spikes)

    gradients = ref.lif_backward(x, g, decay, gain, threshold, reset, detach, name, spike)
    assert_gradients(loss, arrays, dict(zip(arrays, gradients, strict=True)))


def test_surrogate_may_be_a_function(rng):
    x, g = rng.normal(0.5, 1.0, (2, 4, 3)), rng.normal(size=(2, 4, 3))
    named = ref.lif_backward(x, g, 0.5, 1.0, surrogate="arctan")
    given = ref.lif_backward(x, g, 0.5, 1.0, surrogate=lambda u: 1 / (1 + (np.pi * u) ** 2))
    for one, other in zip(named, given, strict=True):
        np.testing.assert_allclose(one, other)


# The aggregator.


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


def learned(part):
    return {name: array for name, array in part.items() if not name.startswith("mask")}


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
def test_step_attention_gradient(rng, causal):
    x, g, steps = random_current(rng), rng.normal(size=(B, T)), random_steps(rng, causal)
    dx, gradients = ref.step_attention_backward(x, g, **steps)
    assert_gradients(
        lambda: np.sum(g * ref.step_attention_forward(x, **steps)),
        {"x": x, **learned(steps)},
        {"x": dx, **gradients},
    )


def test_masked_step_attention_is_causal(rng):
    x, steps = random_current(rng), random_steps(rng, causal=True)
    gate = ref.step_attention_forward(x, **steps)
    for t in range(T):
        changed = x.copy()
        changed[:, t] += 1.0
        same = ref.step_attention_forward(changed, **steps) == gate
        assert same[:, :t].all() and not same[:, t].any()
    _, gradients = ref.step_attention_backward(x, rng.normal(size=(B, T)), **steps)
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


def slow_staa(x, params, bypass, eps=1e-3):
    """One number at a time, as the equations are read."""
    position, context, steps = (params[part] for part in ALL_PARTS)
    places = [(h, w) for h in range(H) for w in range(W)]
    hidden, units = range(C // RATIO), range(len(steps["b1"]))

    def gate(z):
        return 2 / (1 + math.exp(-z))

    y = np.zeros(x.shape)
    for b in range(B):
        encoded = np.zeros((T, H, W, C))
        gate_channel = np.zeros((T, C))
        p = [0.0] * T
        for t in range(T):
            for h, w in places:
                for c in range(C):
                    e = position["a"][t, c] + position["b"][h, c] + position["d"][w, c]
                    encoded[t, h, w, c] = x[b, t, h, w, c] + e
                    p[t] += encoded[t, h, w, c] / (H * W * C)
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
        relu = [
            max(
                0.0,
                sum(p[t] * steps["u1"][t, k] * steps["mask1"][t, k] for t in range(T))
                + steps["b1"][k],
            )
            for k in units
        ]
        for t in range(T):
            q = sum(relu[k] * steps["u2"][k, t] * steps["mask2"][k, t] for k in units)
            gate_step = gate(q + steps["b2"][t])
            for h, w in places:
                for c in range(C):
                    enriched = encoded[t, h, w, c] * gate_channel[t, c] * gate_step
                    y[b, t, h, w, c] = x[b, t, h, w, c] if bypass[b, t] else enriched
    return y


def test_staa_forward_equals_loops(rng):
    x, params = random_current(rng), random_params(rng, causal=True)
    y, slow = ref.staa_forward(x, params, BYPASS), slow_staa(x, params, BYPASS)
    np.testing.assert_allclose(y, slow, rtol=1e-12, atol=1e-14)
    embedding = rng.normal(size=(T, H, W, C))
    gates = {part: params[part] for part in ("context", "steps")}
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
