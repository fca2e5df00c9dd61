"""Leaky integrate-and-fire dynamics with one hand-written gradient round the whole loop."""

from keras import ops

from keras_staa.ops.gradient import with_backward

# Above this many steps the loop rolls into `ops.scan`: an unrolled loop is faster to run, but XLA
# takes 25 s to compile 64 steps of it.
UNROLLED_STEPS = 8


def lif(current, decay, gain, surrogate, threshold=1.0, reset="hard", detach_reset=True):
    """Integrate currents over time and emit spikes (the paper's neuron equations).

    `V[t] = decay * H[t-1] + gain * I[t]`, `S[t] = 1 where V[t] >= threshold else 0`,
    `H[t] = V[t] * (1 - S[t])` (hard reset) or `V[t] - threshold * S[t]` (soft reset), `H[-1] = 0`.

    Only the current is kept for the gradient, which runs through the steps again: memory does not
    grow by one membrane potential a step. The potential is float32 whatever the current's dtype.

    Args:
        current: tensor (B, T, ...), the input current I. T must be static.
        decay: the M of the paper: a float, or a float32 tensor (C,), C the size of the last axis
            (1 where there is none besides B and T).
        gain: the N of the paper, a float or a tensor like `decay`.
        surrogate: function of `V - threshold` that gives dS/dV.
        threshold: positive float.
        reset: `"hard"` or `"soft"`.
        detach_reset: whether the gradient skips the path through the spike in the reset.

    Returns:
        Spikes, exactly 0 or 1, of the shape and dtype of `current`.

    Example:

    >>> from keras_staa import surrogates
    >>> spikes = lif(ops.ones((1, 4)) * 0.8, 0.5, 1.0, surrogates.Rectangular())
    >>> spikes.shape[1], [float(s) for s in spikes[0]]
    (4, [0.0, 1.0, 0.0, 1.0])
    """
    fixed = isinstance(decay, float) and isinstance(gain, float)
    call = neuron(
        surrogate, threshold, reset, detach_reset, constants=(decay, gain) if fixed else None
    )
    return call(current) if fixed else call(current, decay, gain)


def neuron(surrogate, threshold=1.0, reset="hard", detach_reset=True, constants=None):
    """The function behind `lif`, made once and called often, as compilers want it.

    Args:
        surrogate, threshold, reset, detach_reset: as in `lif`.
        constants: (decay, gain), two floats, or None where they are tensors.

    Returns:
        A function `(current) -> spikes`, or `(current, decay, gain) -> spikes` without constants.
    """
    soft = reset == "soft"
    fixed = constants is not None

    def integrate(h, x, m, n):
        v = _times(n, ops.cast(x, "float32"))
        return v if h is None else v + _times(m, h)

    def after(v):
        """H, the potential after the reset."""
        if soft:
            return v - threshold * ops.cast(v >= threshold, "float32")
        return ops.where(v >= threshold, ops.zeros_like(v), v)

    def potentials(x, m, n):
        """Every V: a list of T tensors, or one time-first tensor where the loop is rolled."""
        steps = x.shape[1]
        if steps > UNROLLED_STEPS:

            def step(h, x):
                v = integrate(h, x, m, n)
                return after(v), v

            return ops.scan(step, _zeros_like_step(x), _swap_time(x))[1]
        vs, h = [], None
        for t in range(steps):
            vs.append(integrate(h, x[:, t], m, n))
            h = after(vs[t]) if t + 1 < steps else None
        return vs

    def forward(x, *coefficients):
        vs = potentials(x, *(constants if fixed else coefficients))
        if x.shape[1] > UNROLLED_STEPS:
            spikes = _swap_time(ops.cast(vs >= threshold, x.dtype))
        else:
            spikes = ops.stack([ops.cast(v >= threshold, x.dtype) for v in vs], axis=1)
        return spikes, (x, *coefficients)

    def potential_gradient(g, dh, v):
        """dV[t] from the gradients of S[t] and of H[t]."""
        slope = surrogate(v - threshold)
        dv = ops.cast(g, "float32") * slope
        if dh is None:
            return dv
        if detach_reset:
            return dv + (dh if soft else ops.where(v >= threshold, ops.zeros_like(dh), dh))
        passed = 1.0 if soft else ops.cast(v < threshold, "float32")
        return dv + dh * (passed - (threshold if soft else v) * slope)

    def unrolled_backward(x, m, n, g):
        steps = x.shape[1]
        vs = potentials(x, m, n)
        dxs, dm, dn, dh = [None] * steps, 0.0, 0.0, None
        for t in reversed(range(steps)):
            dv = potential_gradient(g[:, t], dh, vs[t])
            dxs[t] = ops.cast(_times(n, dv), x.dtype)
            if not fixed:
                dn += _sum_to(dv * ops.cast(x[:, t], "float32"), n)
                dm += _sum_to(dv * after(vs[t - 1]), m) if t else ops.zeros_like(m)
            dh = _times(m, dv) if t else None
        return ops.stack(dxs, axis=1), dm, dn

    def rolled_backward(x, m, n, g):
        vs = potentials(x, m, n)

        def step(dh, inputs):
            dv = potential_gradient(inputs[0], dh, inputs[1])
            return _times(m, dv), dv

        dvs = ops.scan(step, _zeros_like_step(x), (_swap_time(g), vs), reverse=True)[1]
        dx = _swap_time(ops.cast(_times(n, dvs), x.dtype))
        if fixed:
            return dx, None, None
        dn = _sum_to(dvs * ops.cast(_swap_time(x), "float32"), n)
        return dx, _sum_to(dvs[1:] * after(vs[:-1]), m), dn

    def backward(residuals, g):
        x, m, n = (*residuals, *constants) if fixed else residuals
        rolled = x.shape[1] > UNROLLED_STEPS
        gradients = (rolled_backward if rolled else unrolled_backward)(x, m, n, g)
        return gradients[:1] if fixed else gradients

    return with_backward(forward, backward)


def _times(coefficient, values):
    """The product, without a pass over memory where the coefficient is the number 1."""
    one = isinstance(coefficient, float) and coefficient == 1.0
    return values if one else coefficient * values


def _zeros_like_step(x):
    return ops.cast(ops.zeros_like(x[:, 0]), "float32")


def _swap_time(x):
    return ops.swapaxes(x, 0, 1)


def _sum_to(values, coefficient):
    """Sum a tensor (..., C) to the shape (C,) of a coefficient."""
    return ops.sum(ops.reshape(values, (-1, coefficient.shape[0])), axis=0)
