"""The judge: neuron and aggregator of STAA-SNN in plain NumPy float64, gradients by hand.

Source: Zhang et al., "STAA-SNN: Spatial-Temporal Attention Aggregator for Spiking Neural
Networks", CVPR 2025 (arXiv 2503.02689). Written from the equations alone, for reading and not
for speed, so that it can disagree with the library. `test_reference.py` checks each gradient.

Arrays are batch-first and channels-last: (B, T, H, W, C). Every input is converted to float64.
A backward function takes `g`, the gradient of a loss with respect to the forward's output, and
returns the gradients of that loss with respect to the forward's inputs, in their shapes; those
of the parameters come as a dict with the names of the forward's arguments.
"""

import numpy as np


def f64(array):
    return np.asarray(array, dtype=np.float64)


def logistic(x):
    """s(x) = 1 / (1 + exp(-x)), in the form that cannot overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * f64(x)))


# Surrogate gradients dS/du of the spike S = [u >= 0], u = V - V_th. Each integrates to 1.


def rectangular(u, width=1.0):
    """dS/du = 1/a where |u| < a/2, else 0."""
    return np.where(np.abs(f64(u)) < width / 2, 1.0 / width, 0.0)


def triangular(u, width=1.0):
    """dS/du = max(0, 1 - |u|/a) / a."""
    return np.maximum(0.0, 1.0 - np.abs(f64(u)) / width) / width


def sigmoid(u, slope=4.0):
    """dS/du = k s(ku) (1 - s(ku)), s the logistic function."""
    s = logistic(slope * f64(u))
    return slope * s * (1.0 - s)


def arctan(u, slope=2.0):
    """dS/du = (k/2) / (1 + (pi/2 k u)^2)."""
    return (slope / 2) / (1.0 + (np.pi / 2 * slope * f64(u)) ** 2)


SURROGATES = {
    "rectangular": rectangular,
    "triangular": triangular,
    "sigmoid": sigmoid,
    "arctan": arctan,
}


# The neuron.


def heaviside(u):
    """S = 1 where u >= 0, else 0: a potential exactly at the threshold fires."""
    return np.where(f64(u) >= 0, 1.0, 0.0)


def after_reset(v, s, threshold, reset):
    """Hard: H = V (1 - S). Soft: H = V - V_th S."""
    if reset == "hard":
        return v * (1.0 - s)
    if reset == "soft":
        return v - threshold * s
    raise ValueError(f'`reset` must be "hard" or "soft". Received: reset={reset!r}')


def lif_forward(x, decay, gain, threshold=1.0, reset="hard", spike=heaviside):
    """V[t] = M H[t-1] + N I[t], H[-1] = 0; S[t] = spike(V[t] - V_th); H[t] by the reset.

    Args:
        x: currents I, (B, T, ...).
        decay, gain: M and N, scalars, or (C,) where x has channels, (B, T, ..., C).
        spike: function u -> S. Only the check of the gradient passes another: a smooth one.

    Returns:
        Spikes S and membrane potentials V (before the reset), both in the shape of x.
    """
    x, decay, gain = f64(x), f64(decay), f64(gain)
    if x.ndim == 2 and decay.ndim + gain.ndim > 0:
        raise ValueError("`decay` and `gain` must be scalars where `x` is (B, T): no channels.")
    s, v = np.empty_like(x), np.empty_like(x)
    h = np.zeros_like(x[:, 0])
    for t in range(x.shape[1]):
        v[:, t] = decay * h + gain * x[:, t]
        s[:, t] = spike(v[:, t] - threshold)
        h = after_reset(v[:, t], s[:, t], threshold, reset)
    return s, v


def lif_backward(
    x,
    g,
    decay,
    gain,
    threshold=1.0,
    reset="hard",
    detach_reset=True,
    surrogate="rectangular",
    spike=heaviside,
):
    """From t = T-1 down, with g[t] the gradient of S[t], h[t] that of H[t], h[T-1] = 0:

        dV[t]  = g[t] sg[t] + h[t] dH/dV[t],   sg[t] = surrogate(V[t] - V_th)
        dH/dV  = (1 - S) - V sg     hard reset; without the term in sg if detached
        dH/dV  = 1 - V_th sg        soft reset; without the term in sg if detached
        h[t-1] = M dV[t]
        dI[t]  = N dV[t],  dM = sum dV[t] H[t-1],  dN = sum dV[t] I[t]

    Args:
        g: gradient of the spikes, in the shape of x.
        surrogate: a name in SURROGATES, or a function u -> dS/du.
        spike: as in `lif_forward`. With `surrogate` its derivative and `detach_reset=False`,
            this is the exact gradient.

    Returns:
        dx, ddecay and dgain, in the shapes of x, decay and gain.
    """
    x, g, decay, gain = f64(x), f64(g), f64(decay), f64(gain)
    surrogate = SURROGATES[surrogate] if isinstance(surrogate, str) else surrogate
    s, v = lif_forward(x, decay, gain, threshold, reset, spike)
    sg = f64(surrogate(v - threshold))
    through_spike = 0.0 if detach_reset else 1.0
    if reset == "hard":
        dh_dv = (1.0 - s) - through_spike * v * sg
    else:
        dh_dv = 1.0 - through_spike * threshold * sg

    dv = np.empty_like(x)
    h = np.zeros_like(x[:, 0])
    for t in reversed(range(x.shape[1])):
        dv[:, t] = g[:, t] * sg[:, t] + h * dh_dv[:, t]
        h = decay * dv[:, t]

    h_before = np.zeros_like(x)
    h_before[:, 1:] = after_reset(v, s, threshold, reset)[:, :-1]
    return gain * dv, _sum_to(dv * h_before, decay.ndim), _sum_to(dv * x, gain.ndim)


def _sum_to(array, ndim):
    """Sums over everything for a scalar (ndim 0), over everything but C for (C,) (ndim 1)."""
    return array.sum(axis=tuple(range(array.ndim - ndim)))


# The aggregator: 1. position encoding.


def position_encoding(x, a, b, d):
    """Axial: x' = x + E with E[t,h,w] = a[t] + b[h] + d[w]; a (T, C), b (H, C), d (W, C)."""
    a, b, d = f64(a), f64(b), f64(d)
    return f64(x) + a[:, None, None] + b[None, :, None] + d[None, None, :]


def position_encoding_backward(g):
    """dx = g; da, db, dd = g summed over the batch and the two axes each does not index."""
    g = f64(g)
    return g, {"a": g.sum((0, 2, 3)), "b": g.sum((0, 1, 3)), "d": g.sum((0, 1, 2))}


def full_position_encoding(x, e):
    """x' = x + E with E (T, H, W, C)."""
    return f64(x) + f64(e)


def full_position_encoding_backward(g):
    """dx = g; dE = g summed over the batch."""
    g = f64(g)
    return g, {"e": g.sum(0)}


# The aggregator: 2. global context.


def _global_context(x, w_key, w1, ln_gamma, ln_beta, w2, b1, b2, eps):
    x = f64(x)
    x = x.reshape(*x.shape[:2], -1, x.shape[-1])  # (B, T, H*W, C)
    k = x @ f64(w_key)
    attention = np.exp(k - k.max(-1, keepdims=True))
    attention /= attention.sum(-1, keepdims=True)
    c = np.einsum("btl,btlc->btc", attention, x)
    u = c @ f64(w1) + (0.0 if b1 is None else f64(b1))
    deviation = np.sqrt(u.var(-1, keepdims=True) + eps)
    n = (u - u.mean(-1, keepdims=True)) / deviation
    m = f64(ln_gamma) * n + f64(ln_beta)
    r = np.maximum(m, 0.0)
    gate = 2.0 * logistic(r @ f64(w2) + (0.0 if b2 is None else f64(b2)))
    return x, attention, c, deviation, n, m, r, gate


def global_context_forward(x, w_key, w1, ln_gamma, ln_beta, w2, b1=None, b2=None, eps=1e-3):
    """For each step: k = W_k x', A = softmax over H*W of k, c = sum over H*W of A x',

        z = W_2 relu(LayerNorm(W_1 c + b_1)) + b_2,  gate = 2 sigmoid(z)

    LayerNorm is over the C/r channels: gamma (u - mean) / sqrt(var + eps) + beta. The keys have
    no bias, to which a softmax is blind.

    Args:
        x: x', (B, T, H, W, C).
        w_key: (C,). w1: (C, C//r). w2: (C//r, C).
        ln_gamma, ln_beta: (C//r,).
        b1, b2: (C//r,) and (C,), or None.

    Returns:
        The gate on the channels, (B, T, C).
    """
    return _global_context(x, w_key, w1, ln_gamma, ln_beta, w2, b1, b2, eps)[-1]


def global_context_backward(x, g, w_key, w1, ln_gamma, ln_beta, w2, b1=None, b2=None, eps=1e-3):
    """Backwards through the equations of `global_context_forward`, u = W_1 c + b_1, n = (u -
    mean) / deviation, m = gamma n + beta, r = relu(m), means over the C/r channels:

        dz = g gate (1 - gate/2),  dW_2 = sum r^T dz,  db_2 = sum dz
        dm = (W_2^T dz) [m > 0],  dgamma = sum dm n,  dbeta = sum dm,  dn = gamma dm
        du = (dn - mean(dn) - n mean(dn n)) / deviation,  dW_1 = sum c^T du,  db_1 = sum du
        dc = W_1^T du,  dA = x' . dc,  dk = A (dA - sum over H*W of A dA)
        dx' = A dc + W_k dk,  dW_k = sum dk x'

    Args:
        g: gradient of the gate, (B, T, C).

    Returns:
        dx and the gradients of the parameters that were given.
    """
    parts = _global_context(x, w_key, w1, ln_gamma, ln_beta, w2, b1, b2, eps)
    flat, attention, c, deviation, n, m, r, gate = parts
    grads = {}
    dz = f64(g) * gate * (1.0 - gate / 2)
    grads["w2"] = np.einsum("btk,btc->kc", r, dz)
    dm = (dz @ f64(w2).T) * (m > 0)
    grads["ln_gamma"] = (dm * n).sum((0, 1))
    grads["ln_beta"] = dm.sum((0, 1))
    dn = f64(ln_gamma) * dm
    du = (dn - dn.mean(-1, keepdims=True) - n * (dn * n).mean(-1, keepdims=True)) / deviation
    grads["w1"] = np.einsum("btc,btk->ck", c, du)
    dc = du @ f64(w1).T
    da = np.einsum("btlc,btc->btl", flat, dc)
    dk = attention * (da - (attention * da).sum(-1, keepdims=True))
    grads["w_key"] = np.einsum("btl,btlc->c", dk, flat)
    dx = attention[..., None] * dc[:, :, None] + dk[..., None] * f64(w_key)
    if b1 is not None:
        grads["b1"] = du.sum((0, 1))
    if b2 is not None:
        grads["b2"] = dz.sum((0, 1))
    return dx.reshape(np.shape(x)), grads


# The aggregator: 3. step attention.


def _step_attention(x, u1, b1, u2, b2, causal):
    x, u1, u2 = f64(x), f64(u1), f64(u2)
    steps = x.shape[1]
    off = np.eye(steps)
    for t in range(steps):
        so_far = t + 1 if causal else steps
        off[t, :so_far] -= 1.0 / so_far
    d = np.einsum("ts,bsc->btc", off, x.mean(axis=(2, 3)))
    m = d @ u1 + f64(b1)
    r = np.maximum(m, 0.0)
    gate = 2.0 * logistic((r @ u2 + f64(b2))[..., 0])
    return off, d, m, r, gate


def step_attention_forward(x, u1, b1, u2, b2, causal=False):
    """p[t] = mean over H, W of x',  d[t] = p[t] - mean of p over the steps (so far),
    q[t] = U_2 relu(U_1 d[t] + b_1) + b_2,  gate = 2 sigmoid(q).

    Args:
        x: x', (B, T, H, W, C).
        u1, b1: (C, K) and (K,). u2, b2: (K, 1) and (1,).
        causal: whether the mean is that over the steps up to t.

    Returns:
        The gate on the steps, (B, T).
    """
    return _step_attention(x, u1, b1, u2, b2, causal)[-1]


def step_attention_backward(x, g, u1, b1, u2, b2, causal=False):
    """Backwards through `step_attention_forward`, m = U_1 d + b_1, r = relu(m), d = O p:

        dq = g gate (1 - gate/2),  dU_2 = sum r^T dq,  db_2 = sum dq
        dm = (U_2^T dq) [m > 0],   dU_1 = sum d^T dm,  db_1 = sum dm
        dp = O^T U_1^T dm,  dx'[t,h,w,c] = dp[t,c] / (H W)

    Args:
        g: gradient of the gate, (B, T).

    Returns:
        dx and the gradients of u1, b1, u2, b2.
    """
    x, u1, u2 = f64(x), f64(u1), f64(u2)
    off, d, m, r, gate = _step_attention(x, u1, b1, u2, b2, causal)
    dq = f64(g) * gate * (1.0 - gate / 2)
    dm = dq[..., None] * u2[:, 0] * (m > 0)
    grads = {
        "u1": np.einsum("btc,btk->ck", d, dm),
        "b1": dm.sum((0, 1)),
        "u2": np.einsum("btk,bt->k", r, dq)[:, None],
        "b2": np.array([dq.sum()]),
    }
    dp = np.einsum("ts,btc->bsc", off, dm @ u1.T) / np.prod(x.shape[2:4])
    return np.broadcast_to(dp[:, :, None, None, :], x.shape).copy(), grads


# The first form of step attention.


def _mean_step_attention(x, u1, b1, u2, b2, mask1, mask2):
    x, u1, u2 = f64(x), f64(u1), f64(u2)
    u1 = u1 if mask1 is None else u1 * f64(mask1)
    u2 = u2 if mask2 is None else u2 * f64(mask2)
    p = x.mean(axis=tuple(range(2, x.ndim)))
    m = p @ u1 + f64(b1)
    r = np.maximum(m, 0.0)
    gate = 2.0 * logistic(r @ u2 + f64(b2))
    return u1, u2, p, m, r, gate


def mean_step_attention_forward(x, u1, b1, u2, b2, mask1=None, mask2=None):
    """p[t] = mean over H, W, C of x',  q = U_2 relu(U_1 p + b_1) + b_2,  gate = 2 sigmoid(q).

    Args:
        x: x', (B, T, H, W, C).
        u1, b1: (T, K) and (K,). u2, b2: (K, T) and (T,).
        mask1, mask2: multiplied onto u1 and u2, or None. The causal form, in which q[t] depends
            on p[0..t] only, is a choice of masks.

    Returns:
        The gate on the steps, (B, T).
    """
    return _mean_step_attention(x, u1, b1, u2, b2, mask1, mask2)[-1]


def mean_step_attention_backward(x, g, u1, b1, u2, b2, mask1=None, mask2=None):
    """Backwards through `mean_step_attention_forward`, m = U_1 p + b_1, r = relu(m), U_1 and U_2
    masked:

        dq = g gate (1 - gate/2),  dU_2 = mask_2 sum r^T dq,  db_2 = sum dq
        dm = (U_2^T dq) [m > 0],   dU_1 = mask_1 sum p^T dm,  db_1 = sum dm
        dp = U_1^T dm,  dx'[t,h,w,c] = dp[t] / (H W C)

    Args:
        g: gradient of the gate, (B, T).

    Returns:
        dx and the gradients of u1, b1, u2, b2.
    """
    x = f64(x)
    u1, u2, p, m, r, gate = _mean_step_attention(x, u1, b1, u2, b2, mask1, mask2)
    dq = f64(g) * gate * (1.0 - gate / 2)
    dm = (dq @ u2.T) * (m > 0)
    grads = {
        "u1": (p.T @ dm) * (1.0 if mask1 is None else f64(mask1)),
        "b1": dm.sum(0),
        "u2": (r.T @ dq) * (1.0 if mask2 is None else f64(mask2)),
        "b2": dq.sum(0),
    }
    dp = (dm @ u1.T) / np.prod(x.shape[2:])
    return np.broadcast_to(_per_step(dp), x.shape).copy(), grads


def _per_step(array):
    """(B, T) -> (B, T, 1, 1, 1)."""
    return array[:, :, None, None, None]


STEP_GATES = {
    "steps": (step_attention_forward, step_attention_backward),
    "mean_steps": (mean_step_attention_forward, mean_step_attention_backward),
}

# The aggregator: 4. the whole, 5. bypassed steps.


def _staa(x, params):
    """x', and the two gates in shapes that multiply it; 1 for a part that is absent."""
    position, context = (params.get(part) for part in ("position", "context"))
    x = f64(x)
    if position:
        x = (full_position_encoding if "e" in position else position_encoding)(x, **position)
    gate_c = global_context_forward(x, **context)[:, :, None, None] if context else 1.0
    gate_s = 1.0
    for name, (forward, _) in STEP_GATES.items():
        if name in params:
            gate_s = _per_step(forward(x, **params[name]))
    return x, gate_c, gate_s


def staa_forward(x, params, bypass=None):
    """x' = x + E,  y = x' * gate_channel[b,t,c] * gate_step[b,t];  y[b,t] = x[b,t] if bypassed.

    Both gates are computed from x', all steps of it: a bypassed step's output is its input, but
    it is still seen by the step attention of the other steps.

    Args:
        x: (B, T, H, W, C).
        params: dict of dicts, in which any part may be absent:
            "position": the arguments a, b, d (axial) or e (full);
            "context": the arguments of `global_context_forward` but x;
            "steps": the arguments of `step_attention_forward` but x, or "mean_steps": those of
            `mean_step_attention_forward`.
        bypass: (B, T) bool, or None for no step.

    Returns:
        y, (B, T, H, W, C).
    """
    encoded, gate_c, gate_s = _staa(x, params)
    y = encoded * gate_c * gate_s
    return y if bypass is None else np.where(_per_step(np.asarray(bypass)), f64(x), y)


def staa_backward(x, g, params, bypass=None):
    """With g' = g, but 0 on bypassed steps:

        dx' = g' gate_c gate_s + (through gate_c: dgate_c = sum over H, W of g' x' gate_s)
                               + (through gate_s: dgate_s = sum over H, W, C of g' x' gate_c)
        dE  = dx', summed to the shape of each embedding
        dx  = dx' + (g on bypassed steps)

    Returns:
        dx, and the gradients of the learned arrays in `params`, nested as these are.
    """
    g = f64(g)
    skipped = 0.0 if bypass is None else g * _per_step(np.asarray(bypass))
    g = g - skipped
    encoded, gate_c, gate_s = _staa(x, params)
    dx = g * gate_c * gate_s
    grads = {}
    if params.get("context"):
        dgate = (g * encoded * gate_s).sum((2, 3))
        through, grads["context"] = global_context_backward(encoded, dgate, **params["context"])
        dx = dx + through
    for name, (_, backward) in STEP_GATES.items():
        if name in params:
            dgate = (g * encoded * gate_c).sum((2, 3, 4))
            through, grads[name] = backward(encoded, dgate, **params[name])
            dx = dx + through
    if position := params.get("position"):
        axial = "e" not in position
        backward = position_encoding_backward if axial else full_position_encoding_backward
        dx, grads["position"] = backward(dx)
    return dx + skipped, grads


def staa_lif_forward(x, params, decay, gain, bypass=None, **lif):
    """S, V = LIF(STAA(x)); `lif` as in `lif_forward`."""
    return lif_forward(staa_forward(x, params, bypass), decay, gain, **lif)


def staa_lif_backward(x, g, params, decay, gain, bypass=None, **lif):
    """dx, the aggregator's gradients, ddecay, dgain; `lif` as in `lif_backward`."""
    dy, ddecay, dgain = lif_backward(staa_forward(x, params, bypass), g, decay, gain, **lif)
    return *staa_backward(x, dy, params, bypass), ddecay, dgain
