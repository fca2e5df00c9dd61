"""The means that gates are made of, and their gradient, as kernels: one pass over memory each."""

import torch
import triton
import triton.language as tl

from keras_staa.ops.kernels.tiles import samples_of_a_program
from keras_staa.ops.kernels.torch import launch

# Below every logit, but finite: the difference of two infinities is no number.
LOWEST = tl.constexpr(-1e30)


def forward(x, query, encoding=None, scale=None, shift=None):
    """Return the attended mean, what its gradient needs, and the plain mean of each channel.

    The softmax over space is computed as the places are read, with the largest logit so far.

    Args:
        x: tensor (B, T, P, C).
        query: tensor (C,).
        encoding: tensor (T, P, C), or None.
        scale, shift: None; there is nothing in front of a neuron on PyTorch.

    Returns:
        The attention, (B, T, P); the attended mean of x', (B, T, C); and its plain mean over
        space, (B, T, C). All are float32.
    """
    batch, steps, places, channels = x.shape
    split = launch.split(places, channels, 1, whole_channels=True)
    x = x.contiguous()
    attention, context, mean = (
        x.new_empty(shape, dtype=torch.float32)
        for shape in ((batch, steps, places), *[(batch, steps, channels)] * 2)
    )
    launch.run(
        _forward,
        (batch, steps),
        x,
        query.contiguous(),
        None if encoding is None else encoding.contiguous(),
        attention,
        context,
        mean,
        PLACES=places,
        CHANNELS=channels,
        ROWS=split.rows,
        COLUMNS=split.columns,
    )
    return attention, context, mean


def backward(
    x,
    g,
    attention,
    context,
    dcontext,
    dmean,
    query,
    encoding=None,
    keep=None,
    scale=None,
    shift=None,
):
    """Return the gradients of x, query and encoding.

    Args:
        x, query, encoding, scale, shift: as in `forward`.
        g: gradient of x as what reads it afterwards has it.
        attention, context: the attention and the attended mean, as `forward` returns them.
        dcontext: gradient of the attended mean, (B, T, C).
        dmean: gradient of the plain mean, (B, T, C), or None.
        keep: tensor (B, T), or None: where the encoding has the gradient g too.

    Returns:
        A tensor like x; float32 (C,); float32 (T, P, C), or None.
    """
    batch, steps, places, channels = x.shape
    split = launch.split(places, channels, 1, whole_channels=True)
    parts = split.grid[0]
    each = samples_of_a_program(batch, steps * parts, launch.PROGRAMS)
    groups = batch // each
    x = x.contiguous()
    dx = torch.empty_like(x)
    dquery = x.new_empty((steps, parts, groups, channels), dtype=torch.float32)
    dencoding = None
    if encoding is not None:
        encoding = encoding.contiguous()
        dencoding = x.new_empty((groups, steps, places, channels), dtype=torch.float32)
    launch.run(
        _backward,
        (groups, steps, parts),
        x,
        *(None if v is None else v.contiguous() for v in (g, attention, context, dcontext, dmean)),
        query.contiguous(),
        encoding,
        None if keep is None else keep.contiguous(),
        dx,
        dquery,
        dencoding,
        STEPS=steps,
        PLACES=places,
        CHANNELS=channels,
        ROWS=split.rows,
        COLUMNS=split.columns,
        EACH=each,
    )
    dquery = dquery.sum((0, 1, 2))
    return dx, dquery, None if dencoding is None else dencoding.sum(0)


@triton.jit
def _values(x, encoding, start, t, within, mask, SIZE: tl.constexpr):
    """Return x + E of a block."""
    values = tl.load(x + start + within, mask=mask, other=0.0).to(tl.float32)
    if encoding is not None:
        values += tl.load(encoding + t * SIZE + within, mask=mask, other=0.0).to(tl.float32)
    return values


@triton.jit
def _forward(
    x,
    query,
    encoding,
    attention,
    context,
    mean,
    PLACES: tl.constexpr,
    CHANNELS: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    SIZE: tl.constexpr = PLACES * CHANNELS
    t = tl.program_id(1)
    row = tl.program_id(0).to(tl.int64) * tl.num_programs(1) + t
    channel = tl.arange(0, COLUMNS)
    inside = channel < CHANNELS
    q = tl.load(query + channel, mask=inside, other=0.0).to(tl.float32)
    attended = tl.zeros((COLUMNS,), tl.float32)
    plain = tl.zeros((COLUMNS,), tl.float32)
    peak = tl.zeros((1,), tl.float32) + LOWEST
    total = tl.zeros((1,), tl.float32)
    for first in range(0, PLACES, ROWS):
        place = first + tl.arange(0, ROWS)
        real = place < PLACES
        mask = real[:, None] & inside[None, :]
        within = place[:, None] * CHANNELS + channel[None, :]
        values = _values(x, encoding, row * SIZE, t, within, mask, SIZE)
        logits = tl.sum(values * q[None, :], axis=1)
        tl.store(attention + row * PLACES + place, logits, mask=real)
        new = tl.maximum(peak, tl.max(tl.where(real, logits, LOWEST), axis=0))
        weight = tl.where(real, tl.exp(logits - new), 0.0)
        kept = tl.exp(peak - new)
        total = total * kept + tl.sum(weight, axis=0)
        attended = attended * kept + tl.sum(weight[:, None] * values, axis=0)
        plain += tl.sum(values, axis=0)
        peak = new
    tl.store(context + row * CHANNELS + channel, attended / total, mask=inside)
    tl.store(mean + row * CHANNELS + channel, plain / PLACES, mask=inside)
    # Other threads may have written what is read now.
    tl.debug_barrier()
    for first in range(0, PLACES, ROWS):
        place = first + tl.arange(0, ROWS)
        real = place < PLACES
        logits = tl.load(attention + row * PLACES + place, mask=real, other=LOWEST)
        tl.store(attention + row * PLACES + place, tl.exp(logits - peak) / total, mask=real)


@triton.jit
def _backward(
    x,
    gradient,
    attention,
    context,
    dcontext,
    dmean,
    query,
    encoding,
    keep,
    dx,
    dquery,
    dencoding,
    STEPS: tl.constexpr,
    PLACES: tl.constexpr,
    CHANNELS: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    EACH: tl.constexpr,
):
    SIZE: tl.constexpr = PLACES * CHANNELS
    group, t, part = tl.program_id(0).to(tl.int64), tl.program_id(1), tl.program_id(2)
    channel = tl.arange(0, COLUMNS)
    inside = channel < CHANNELS
    place = part * ROWS + tl.arange(0, ROWS)
    real = place < PLACES
    mask = real[:, None] & inside[None, :]
    within = place[:, None] * CHANNELS + channel[None, :]
    q = tl.load(query + channel, mask=inside, other=0.0).to(tl.float32)
    queries = tl.zeros((ROWS, COLUMNS), tl.float32)
    encodings = tl.zeros((ROWS, COLUMNS), tl.float32)
    for i in range(EACH):
        row = (group * EACH + i) * STEPS + t
        values = _values(x, encoding, row * SIZE, t, within, mask, SIZE)
        passed = tl.load(gradient + row * SIZE + within, mask=mask, other=0.0).to(tl.float32)
        weights = tl.load(attention + row * PLACES + place, mask=real, other=0.0)
        dmeans = tl.load(dcontext + row * CHANNELS + channel, mask=inside, other=0.0)
        means = tl.load(context + row * CHANNELS + channel, mask=inside, other=0.0)
        # The mean, weighted by attention, of what the attended mean passes on.
        known = tl.sum(dmeans * means, axis=0)
        dlogits = weights * (tl.sum(values * dmeans[None, :], axis=1) - known)
        added = weights[:, None] * dmeans[None, :] + dlogits[:, None] * q[None, :]
        if dmean is not None:
            plain = tl.load(dmean + row * CHANNELS + channel, mask=inside, other=0.0)
            added += plain[None, :] / PLACES
        tl.store(dx + row * SIZE + within, passed + added, mask=mask)
        queries += dlogits[:, None] * values
        if encoding is not None:
            if keep is not None:
                passed = passed * tl.load(keep + row)
            encodings += passed + added
    row = (t * tl.num_programs(2) + part) * tl.num_programs(0) + group
    tl.store(dquery + row * CHANNELS + channel, tl.sum(queries, axis=0), mask=inside)
    if encoding is not None:
        where = (group * STEPS + t) * SIZE + within
        tl.store(dencoding + where, encodings, mask=mask)
