"""Judges the judge: `reference.py` against central differences, hand-computed numbers, loops."""

import math

import numpy as np
import pytest

from tests import reference as ref
from tests.numeric import SMOOTH_SPIKES, assert_gradients

B, T, H, W, C, RATIO = 2, 3, 2, 3, 8, 2


@pytest.fixture
def rng():
    return np.random.default_rng(0)


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
