"""The means that gates are made of, and their gradient, as kernels for GPUs: one pass each."""

import jax
from jax import numpy as jnp
from jax.experimental import pallas as pl

from keras_staa.ops.kernels.pallas import blocks, triton
from keras_staa.ops.kernels.pallas.partition import over_batch
from keras_staa.ops.kernels.tiles import samples_of_a_program

# Below every logit, but finite: the difference of two infinities is no number.
LOWEST = -1e30
# Programs below which processors of a large GPU would stand idle.
BUSY = 256
# What has one value for each channel.
LINES = ("query", "scale", "shift")


def forward(x, query, encoding=None, scale=None, shift=None, interpret=False):
    """Return the attended mean, what its gradient needs, and the plain mean of each channel.

    The softmax over space is computed as the places are read, with the largest logit so far.

    Args:
        x: tensor (B, T, P, C).
        query: tensor (C,).
        encoding: tensor (T, P, C), or None.
        scale, shift: tensors (C,), or None: the current is `x * scale + shift`.
        interpret: boolean, whether JAX plays the GPU.

    Returns:
        The attention, (B, T, P); the attended mean of x', (B, T, C); and its plain mean over
        space, (B, T, C). All are float32.
    """
    given = _given(x=x, query=query, encoding=encoding, scale=scale, shift=shift)

    def local(*tensors):
        return _forward(dict(zip(given, tensors, strict=True)), interpret)

    return over_batch(local, [name == "x" for name in given], [True] * 3)(*given.values())


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
    interpret=False,
):
    """Return the gradients of x, query, encoding, scale and shift.

    Args:
        x, query, encoding, scale, shift, interpret: as in `forward`.
        g: gradient of x as what reads it afterwards has it.
        attention, context: the attention and the attended mean, as `forward` returns them.
        dcontext: gradient of the attended mean, (B, T, C).
        dmean: gradient of the plain mean, (B, T, C), or None.
        keep: tensor (B, T), or None: where the encoding has the gradient g too.

    Returns:
        A tensor like x; float32 (C,); float32 (T, P, C), or None; twice float32 (C,), or None.
    """
    whole = _given(query=query, encoding=encoding, scale=scale, shift=shift)
    given = _given(x=x, g=g, attention=attention, context=context, dcontext=dcontext)
    given |= _given(dmean=dmean, keep=keep) | whole

    def local(*tensors):
        return _backward(dict(zip(given, tensors, strict=True)), interpret)

    kinds = [name not in whole for name in given]
    dx, *found = over_batch(local, kinds, [True, *[False] * len(whole)])(*given.values())
    found = dict(zip(whole, found, strict=True))
    return dx, *(found.get(name) for name in ("query", "encoding", "scale", "shift"))


def _given(**tensors):
    return {name: tensor for name, tensor in tensors.items() if tensor is not None}


def _current(of, index, mask, inside):
    """Return x * scale + shift of a block, zeros outside of the tensor."""
    x = triton.load(of["x"], index, mask)
    if "scale" not in of:
        return x, x
    scale, shift = (triton.load(of[name], mask=inside)[None, :] for name in ("scale", "shift"))
    current = x * scale + shift
    return x, current if mask is None else jnp.where(mask, current, 0.0)


def _forward(given, interpret):
    x = given["x"]
    batch, steps, places, channels = x.shape
    split = triton.split(places, channels, 1, True, batch * steps, busy=BUSY)
    parts, span = split.grid[0], split.span

    def kernel(*refs):
        of = dict(zip(given, refs, strict=False))
        logits_out, peak_out, total_out, mean_out, plain_out = refs[len(given) :]
        inside, first = split.channel_mask(0), pl.program_id(2) * span
        q = triton.load(of["query"], mask=inside)[None, :]

        def block(i, state):
            peak, total, attended, plain = state
            rows, place = split.part(i), first + i * split.rows
            mask = split.mask(place, 0)
            _, values = _current(of, (0, 0, rows), mask, inside)
            if "encoding" in of:
                values = values + triton.load(of["encoding"], (0, rows), mask)
            logits = jnp.sum(values * q, axis=1)
            real = place + jnp.arange(split.rows) < places
            triton.store(logits_out, (0, 0, rows), logits, real)
            new = jnp.maximum(peak, jnp.where(real, logits, LOWEST))
            weight = jnp.where(real, jnp.exp(logits - new), 0.0)
            kept = jnp.exp(peak - new)
            total = total * kept + weight
            attended = attended * kept[:, None] + weight[:, None] * values
            return new, total, attended, plain + values

        row = jnp.zeros((split.rows,), jnp.float32)
        tile = jnp.zeros((split.rows, split.columns), jnp.float32)
        start = row + LOWEST, row, tile, tile
        state = split.repeated(block, start)
        peak = jnp.max(state[0])
        kept = jnp.exp(state[0] - peak)
        triton.store(peak_out, (0, 0, 0), peak)
        triton.store(total_out, (0, 0, 0), jnp.sum(state[1] * kept))
        attended = jnp.sum(state[2] * kept[:, None], axis=0)
        triton.store(mean_out, (0, 0, 0), attended, inside)
        triton.store(plain_out, (0, 0, 0), jnp.sum(state[3], axis=0), inside)

    specs = {
        "x": pl.BlockSpec((1, 1, span, split.columns), lambda b, t, p: (b, t, p, 0)),
        "encoding": pl.BlockSpec((1, span, split.columns), lambda b, t, p: (t, p, 0)),
        **dict.fromkeys(LINES, pl.BlockSpec((split.columns,), lambda b, t, p: (0,))),
    }
    inputs = [(tensor, specs[name]) for name, tensor in given.items()]
    one = pl.BlockSpec((1, 1, 1), lambda b, t, p: (b, t, p))
    scalar = jax.ShapeDtypeStruct((batch, steps, parts), jnp.float32), one
    line = (
        jax.ShapeDtypeStruct((batch, steps, parts, channels), jnp.float32),
        pl.BlockSpec((1, 1, 1, split.columns), lambda b, t, p: (b, t, p, 0)),
    )
    outputs = [
        (
            jax.ShapeDtypeStruct((batch, steps, places), jnp.float32),
            pl.BlockSpec((1, 1, span), lambda b, t, p: (b, t, p)),
        ),
        scalar,
        scalar,
        line,
        line,
    ]
    grid = (batch, steps, parts)
    logits, peaks, totals, means, sums = blocks.call(
        kernel, grid, inputs, outputs, triton, "summaries", interpret
    )
    peak = jnp.max(peaks, axis=2)
    kept = jnp.exp(peaks - peak[..., None])
    total = jnp.sum(totals * kept, axis=2)
    context = jnp.sum(means * kept[..., None], axis=2) / total[..., None]
    attention = jnp.exp(logits - peak[..., None]) / total[..., None]
    return attention, context, jnp.sum(sums, axis=2) / places


def _backward(given, interpret):
    x = given["x"]
    batch, steps, places, channels = x.shape
    split = triton.split(places, channels, 1, True)
    each = samples_of_a_program(batch, steps * split.grid[0], triton.PROGRAMS)
    made = [name for name in given if name in (*LINES, "encoding")]

    def kernel(*refs):
        of = dict(zip(given, refs, strict=False))
        dx_out, *out = refs[len(given) :]
        out = dict(zip(made, out, strict=True))
        place = pl.program_id(1) * split.rows
        mask, inside = split.mask(place, 0), split.channel_mask(0)
        real = None if places % split.rows == 0 else place + jnp.arange(split.rows) < places
        q = triton.load(of["query"], mask=inside)[None, :]
        e = triton.load(of["encoding"], (0,), mask) if "encoding" in of else 0.0

        def sample(b, sums):
            x, values = _current(of, (b, 0), mask, inside)
            values = values + e
            passed = triton.load(of["g"], (b, 0), mask)
            attention = triton.load(of["attention"], (b, 0), real)
            dmeans = triton.load(of["dcontext"], (b, 0), inside)
            # The mean, weighted by attention, of what the attended mean passes on.
            known = jnp.sum(dmeans * triton.load(of["context"], (b, 0), inside))
            dlogits = attention * (jnp.sum(values * dmeans[None, :], axis=1) - known)
            added = attention[:, None] * dmeans[None, :] + dlogits[:, None] * q
            if "dmean" in of:
                added = added + triton.load(of["dmean"], (b, 0), inside)[None, :] / places
            dx = passed + added
            triton.store(dx_out, (b, 0), dx, mask)
            found = {"query": dlogits[:, None] * values}
            if "encoding" in of:
                weight = triton.load(of["keep"], (b, 0)) if "keep" in of else 1.0
                found["encoding"] = weight * passed + added
            if "scale" in of:
                dx = dx if mask is None else jnp.where(mask, dx, 0.0)
                found |= {"scale": dx * x, "shift": dx}
            return {name: sums[name] + value for name, value in found.items()}

        zero = jnp.zeros((split.rows, split.columns), jnp.float32)
        sums = jax.lax.fori_loop(0, each, sample, dict.fromkeys(made, zero))
        for name, ref in out.items():
            if name == "encoding":
                triton.store(ref, (0, 0), sums[name], mask)
            else:
                triton.store(ref, (0, 0, 0), jnp.sum(sums[name], axis=0), inside)

    tile = pl.BlockSpec((each, 1, split.rows, split.columns), lambda t, p, b: (b, t, p, 0))
    channel = pl.BlockSpec((each, 1, split.columns), lambda t, p, b: (b, t, 0))
    one = pl.BlockSpec((each, 1), lambda t, p, b: (b, t))
    specs = {
        "attention": pl.BlockSpec((each, 1, split.rows), lambda t, p, b: (b, t, p)),
        "encoding": pl.BlockSpec((1, split.rows, split.columns), lambda t, p, b: (t, p, 0)),
        **dict.fromkeys(LINES, pl.BlockSpec((split.columns,), lambda t, p, b: (0,))),
        **dict.fromkeys(("x", "g"), tile),
        **dict.fromkeys(("context", "dcontext", "dmean"), channel),
        "keep": one,
    }
    inputs = [(tensor, specs[name]) for name, tensor in given.items()]
    grid = steps, split.grid[0], batch // each
    line = (
        jax.ShapeDtypeStruct((*grid, channels), jnp.float32),
        pl.BlockSpec((1, 1, 1, split.columns), lambda t, p, b: (t, p, b, 0)),
    )
    table = (
        jax.ShapeDtypeStruct((grid[2], steps, places, channels), jnp.float32),
        pl.BlockSpec((1, 1, split.rows, split.columns), lambda t, p, b: (b, t, p, 0)),
    )
    outputs = [(jax.ShapeDtypeStruct(x.shape, x.dtype), tile)]
    outputs += [table if name == "encoding" else line for name in made]
    name = "summaries_gradient"
    dx, *found = blocks.call(kernel, grid, inputs, outputs, triton, name, interpret)
    axes = [0 if name == "encoding" else (0, 1, 2) for name in made]
    return dx, *(jnp.sum(part, axis=axis) for part, axis in zip(found, axes, strict=True))
