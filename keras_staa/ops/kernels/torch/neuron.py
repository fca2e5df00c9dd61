"""The neuron and its gradient as kernels: one pass over memory in each direction.

A program holds all time steps of a block of places and channels, so that potentials are computed
again in the backward pass and stored nowhere.
"""

import math

import torch
import triton
import triton.language as tl

from keras_staa.ops import saturation
from keras_staa.ops.kernels.torch import launch
from keras_staa.ops.kernels.torch.equations import translated

LARGEST = tl.constexpr(saturation.LARGEST_CURRENT)
# What a gain is.
NUMBER, CHANNEL, GATE = (tl.constexpr(i) for i in range(3))


def forward(dynamics, a):
    """Return the spikes.

    Args:
        dynamics: a `keras_staa.ops.Dynamics`.
        a: what a call of the neuron gets, as `keras_staa.ops.neuron` has it, without scale.

    Returns:
        Spikes, of the shape and dtype of the current.
    """
    layout, equations = _Layout(a), translated(dynamics)
    spikes = torch.empty_like(layout.current)
    launch.run(
        _forward,
        layout.grid,
        *layout.inputs(),
        spikes,
        **layout.constants(),
        fired=equations.fired,
        spiked=equations.spikes,
        after=equations.after,
    )
    return spikes.reshape(a.current.shape)


def backward(dynamics, a, g):
    """Return the gradients of the current, decay and gain.

    Args:
        dynamics, a: as in `forward`.
        g: gradient of the spikes.

    Returns:
        Three tensors of the shapes of what they belong to, None for numbers.
    """
    layout, equations = _Layout(a, grouped=True), translated(dynamics)
    dx, sums = torch.empty_like(layout.current), (None, None)
    if layout.kind != NUMBER.value:
        sums = layout.sums(1), layout.sums(a.steps if a.gated else 1)
    launch.run(
        _backward,
        layout.grid,
        *layout.inputs(),
        g.contiguous(),
        dx,
        *sums,
        **layout.constants(),
        GROUPS=layout.split.groups,
        fired=equations.fired,
        after=equations.after,
        last=equations.last,
        before=equations.before,
    )
    dx = dx.reshape(a.current.shape)
    if layout.kind == NUMBER.value:
        return dx, None, None
    ddecay, dgain = sums
    # The gain of a gate alone has the axes of batch and time.
    return dx, ddecay.sum((0, 1, 2)), dgain.sum(1 if a.gated else (0, 1, 2))


class _Layout:
    """Where the inputs of a neuron lie: current and spikes are (B, T, places, channels)."""

    def __init__(self, a, grouped=False):
        batch, steps, *rest = a.current.shape
        *places, channels = rest or (1,)
        count = math.prod(places)
        learned = not isinstance(a.gain, float)
        self.kind = (GATE if a.gated else CHANNEL if learned else NUMBER).value
        if not learned:
            # Nothing depends on the channel.
            count, channels = 1, count * channels
        self.a, self.current = a, a.current.contiguous()
        programs = batch if grouped and learned else 0
        self.split = launch.split(count, channels, steps, programs)
        self.grid = (batch, *self.split.grid)

    def inputs(self):
        """Return the first arguments of a kernel."""
        a = self.a
        return [
            self.current,
            *(v if v is None or isinstance(v, float) else v.contiguous() for v in a[1:5]),
        ]

    def constants(self):
        """Return the sizes that a kernel is compiled for."""
        split = self.split
        return {
            "STEPS": self.a.steps,
            "PLACES": split.places,
            "CHANNELS": split.channels,
            "ROWS": split.rows,
            "COLUMNS": split.columns,
            "KIND": self.kind,
        }

    def sums(self, steps):
        """Return where programs write sums over their places, (B, programs, steps, C)."""
        shape = self.grid[0], self.grid[1], steps, self.split.channels
        return self.current.new_empty(shape, dtype=torch.float32)


@triton.jit
def _coefficient(x, first, channel, inside, KIND: tl.constexpr):
    """Return what stands for each channel, as (1, columns), or a number."""
    if KIND == NUMBER:
        return x
    else:
        return tl.load(x + first + channel, mask=inside, other=0.0).to(tl.float32)[None, :]


@triton.jit
def _encoded(current, encoding, keep, row, t, within, mask, SIZE: tl.constexpr):
    """Return I[t] + keep[t] * E[t] of a block; `row` is the time step among those of all samples"""
    x = tl.load(current + row * SIZE + within, mask=mask, other=0.0).to(tl.float32)
    if encoding is not None:
        e = tl.load(encoding + t * SIZE + within, mask=mask, other=0.0).to(tl.float32)
        if keep is not None:
            e = e * tl.load(keep + row)
        x = x + e
    return tl.clamp(x, -LARGEST, LARGEST, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def _forward(
    current,
    decay,
    gain,
    encoding,
    keep,
    spikes,
    STEPS: tl.constexpr,
    PLACES: tl.constexpr,
    CHANNELS: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    KIND: tl.constexpr,
    fired: tl.constexpr,
    spiked: tl.constexpr,
    after: tl.constexpr,
):
    first = tl.program_id(0).to(tl.int64) * STEPS
    place = (tl.program_id(1) * ROWS + tl.arange(0, ROWS))[:, None]
    channel = tl.program_id(2) * COLUMNS + tl.arange(0, COLUMNS)
    inside = channel < CHANNELS
    mask = (place < PLACES) & inside[None, :]
    within = place * CHANNELS + channel[None, :]
    kept = _coefficient(decay, 0, channel, inside, KIND)
    start = first * CHANNELS if KIND == GATE else 0
    by = _coefficient(gain, start, channel, inside, KIND)
    h = tl.zeros((ROWS, COLUMNS), tl.float32)
    for t in tl.static_range(STEPS):
        if KIND == GATE and t > 0:
            by = _coefficient(gain, start + t * CHANNELS, channel, inside, KIND)
        v = by * _encoded(current, encoding, keep, first + t, t, within, mask, PLACES * CHANNELS)
        if t > 0:
            v = v + kept * h
        s = fired(v)
        tl.store(spikes + (first + t) * (PLACES * CHANNELS) + within, spiked(v, s), mask=mask)
        h = after(v, s)


@triton.jit
def _backward(
    current,
    decay,
    gain,
    encoding,
    keep,
    gradient,
    dcurrent,
    ddecay,
    dgain,
    STEPS: tl.constexpr,
    PLACES: tl.constexpr,
    CHANNELS: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    KIND: tl.constexpr,
    GROUPS: tl.constexpr,
    fired: tl.constexpr,
    after: tl.constexpr,
    last: tl.constexpr,
    before: tl.constexpr,
):
    SIZE: tl.constexpr = PLACES * CHANNELS
    GAINS: tl.constexpr = STEPS if KIND == GATE else 1
    sample = tl.program_id(0).to(tl.int64)
    first = sample * STEPS
    channel = tl.program_id(2) * COLUMNS + tl.arange(0, COLUMNS)
    inside = channel < CHANNELS
    kept = _coefficient(decay, 0, channel, inside, KIND)
    bys = ()
    for t in tl.static_range(STEPS):
        start = (first + t) * CHANNELS if KIND == GATE else 0
        bys = bys + (_coefficient(gain, start, channel, inside, KIND),)
    decays = tl.zeros((ROWS, COLUMNS), tl.float32)
    gains = ()
    for _ in tl.static_range(GAINS):
        gains = gains + (tl.zeros((ROWS, COLUMNS), tl.float32),)
    for group in range(GROUPS):
        place = ((tl.program_id(1) * GROUPS + group) * ROWS + tl.arange(0, ROWS))[:, None]
        mask = (place < PLACES) & inside[None, :]
        within = place * CHANNELS + channel[None, :]
        h = tl.zeros((ROWS, COLUMNS), tl.float32)
        xs, vs = (), ()
        for t in tl.static_range(STEPS):
            x = _encoded(current, encoding, keep, first + t, t, within, mask, SIZE)
            v = bys[t] * x
            if t > 0:
                v = v + kept * h
            h = after(v, fired(v))
            xs, vs = xs + (x,), vs + (v,)
        dv, found = h, ()
        for i in tl.static_range(STEPS):
            v = vs[STEPS - 1 - i]
            where = (first + STEPS - 1 - i) * SIZE + within
            g = tl.load(gradient + where, mask=mask, other=0.0).to(tl.float32)
            dv = last(g, v, fired(v)) if i == 0 else before(g, kept * dv, v, fired(v))
            tl.store(dcurrent + where, bys[STEPS - 1 - i] * dv, mask=mask)
            if KIND != NUMBER:
                found = (dv * xs[STEPS - 1 - i],) + found
                if i + 1 < STEPS:
                    h = vs[STEPS - 2 - i]
                    decays += dv * after(h, fired(h))
        if KIND == GATE:
            added = ()
            for t in tl.static_range(STEPS):
                added = added + (gains[t] + found[t],)
            gains = added
        elif KIND == CHANNEL:
            total = gains[0]
            for t in tl.static_range(STEPS):
                total += found[t]
            gains = (total,)
    if KIND != NUMBER:
        row = sample * tl.num_programs(1) + tl.program_id(1)
        tl.store(ddecay + row * CHANNELS + channel, tl.sum(decays, axis=0), mask=inside)
        for t in tl.static_range(GAINS):
            where = (row * GAINS + t) * CHANNELS + channel
            tl.store(dgain + where, tl.sum(gains[t], axis=0), mask=inside)
