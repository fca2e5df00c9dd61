"""The spatial-temporal attention aggregator, as functions on tensors.

The encoded current x' = x + E is summed over space twice (once weighted by attention, once
plainly) and scaled once. Sums split into a part of x and a part of E, which has no batch axis, so
that x' itself is never stored: `x' . q = x . q + E . q` and `A^T x' = A^T x + A^T E`.
"""

import functools

import keras
from keras import ops

from keras_staa.ops import kernels
from keras_staa.ops.affine import sums, value
from keras_staa.ops.collected import collected
from keras_staa.ops.gradient import by_itself, separated, with_backward
from keras_staa.ops.portable import is_portable
from keras_staa.ops.sums import batch_sum, by_platform, float_mean


def axial_encoding(steps, rows, columns):
    """Sum of one embedding a step, a row and a column, `E[t,h,w] = a[t] + b[h] + d[w]`.

    Args:
        steps: tensor (T, C).
        rows: tensor (H, C).
        columns: tensor (W, C).

    Returns:
        Tensor (T, H, W, C).
    """
    return steps[:, None, None, :] + rows[None, :, None, :] + columns[None, None, :, :]


def summaries(
    x, query=None, encoding=None, steps=None, keep=None, compiled=False, scale=None, shift=None
):
    """Compute what gates are made of: an attended mean of x' and a plain one.

    The gradients of `x` and `encoding` are collected here, so that what reads them afterwards and
    these means together write one gradient: use what is returned in their place.

    Args:
        x: tensor (B, T, H, W, C).
        query: tensor (C,), the key convolution's kernel, or None for no attended mean.
        encoding: tensor (T, H, W, C) to add to x, or None.
        steps: `"channels"` for the mean over space of each time step and channel, `"mean"` for
            that over space and channels, or None for neither.
        keep: float32 tensor (B, T), 1 in the steps in which what reads x afterwards adds the
            encoding and 0 in the others, or None for 1.
        compiled: as in `with_backward`.
        scale, shift: float32 tensors (C,), where the current is `x * scale + shift` and gradients
            are as `keras_staa.ops.affine` has them. What reads x afterwards gives them none.

    Returns:
        x; the encoding, without a gradient of its own; the mean over space of x', weighted by a
        softmax over space of `x' . query`, float32 (B, T, C), or None; the mean that `steps` says,
        float32 (B, T, C) or (B, T), or None.
    """
    if query is None and encoding is None and steps is None:
        return x, None, None, None
    given = {"x": x, "query": query, "encoding": encoding, "keep": keep}
    given |= {"scale": scale, "shift": shift}
    given = {name: tensor for name, tensor in given.items() if tensor is not None}
    if encoding is None:
        given.pop("keep", None)
    function = _summaries(tuple(given), steps, compiled and not is_portable())
    outputs = function(*given.values())
    outputs = iter(outputs if isinstance(outputs, tuple) else (outputs,))
    x = next(outputs)
    context = None if query is None else next(outputs)
    encoding = None if encoding is None else ops.stop_gradient(encoding)
    return x, encoding, context, next(outputs) if steps else None


@functools.cache
def _summaries(names, steps, compiled):
    attend, encoded = "query" in names, "encoding" in names
    # PyTorch's compiler writes a loop for a sum of products, and calls a slow routine for a matrix
    # times a vector.
    in_loops = compiled and keras.backend.backend() == "torch"

    def unpack(tensors):
        given = dict(zip(names, tensors, strict=True))
        x = given["x"]
        _, t, h, w, c = ops.shape(x)
        query = ops.cast(given["query"], x.dtype) if attend else None
        encoding = None
        if encoded:
            encoding = ops.reshape(ops.cast(given["encoding"], x.dtype), (t, h * w, c))
        return ops.reshape(x, (-1, t, h * w, c)), query, encoding, given

    def driven(x, given):
        """Return the current."""
        if "scale" not in given:
            return x
        return ops.cast(value(x, given["scale"], given["shift"]), x.dtype)

    @functools.partial(by_itself, compiled=compiled)
    def means(*tensors):
        """Return attention and attended mean, if there is a query, and the mean of each step."""
        x, query, encoding, given = unpack(tensors)
        x = driven(x, given)
        if not attend:
            return (_plain_mean(x, encoding, steps),)
        if x.shape[2] != 1:
            project = _projections_in_a_loop if in_loops else _projections
            logits, mean = project(x, query, encoding, steps == "mean")
            attention = ops.softmax(logits, axis=2)
        else:
            # Keras warns of a softmax over one place.
            attention, mean = ops.ones(ops.shape(x)[:3], "float32"), None
        context = _attended(x, attention, encoding)
        if not steps:
            return attention, context
        return attention, context, _plain_mean(x, encoding, steps) if mean is None else mean

    @kernels.shared
    def means_in_kernel(*tensors):
        x, _, encoding, given = unpack(tensors)
        held = kernels.of_summaries(given["x"])["triton"]
        line = given.get("scale"), given.get("shift")
        attention, context, mean = held.forward(x, given["query"], encoding, *line)
        if not steps:
            return attention, context
        return attention, context, ops.mean(mean, axis=-1) if steps == "mean" else mean

    def forward(*tensors):
        found, residuals = (), ()
        if attend or steps:
            found = chosen(means, means_in_kernel, tensors)(*tensors)
        if attend:
            # Attention, which is not an output, and the attended mean.
            residuals, found = found[:2], found[1:]
        return (tensors[0], *found) if found else tensors[0], (*tensors, *residuals)

    @functools.partial(by_itself, compiled=compiled)
    @separated
    def gradients(*tensors):
        """Return the gradients of the inputs but `keep`."""
        inputs, rest = tensors[: len(names)], list(tensors[len(names) :])
        x, query, encoding, given = unpack(inputs)
        x = driven(x, given)
        attention, _ = (rest.pop(0), rest.pop(0)) if attend else (None, None)
        passed, products, dmean = rest.pop(0), [], None
        dq = de = None
        if encoded:
            # What adds the encoding to x afterwards has the same gradient in both.
            de = ops.reshape(batch_sum(passed, given.get("keep")), ops.shape(encoding))
        if attend:
            products, dq, more = _attended_gradient(x, query, encoding, attention, rest.pop(0))
            de = de + more if encoded else None
        if steps:
            dmean = _of_each_value(rest.pop(0), x)[:, :, None]
            de = de + ops.sum(dmean, axis=0) if encoded else None
        dx = collected(ops.reshape(passed, ops.shape(x)), products, dmean)
        line = sums(unpack(inputs)[0], dx) if "scale" in given else ()
        return in_shape(given, (dx, dq, de, *line))

    @kernels.shared
    def gradients_in_kernel(*tensors):
        inputs, rest = tensors[: len(names)], list(tensors[len(names) :])
        x, _, encoding, given = unpack(inputs)
        attention, context, passed, dcontext = (rest.pop(0) for _ in range(4))
        found = kernels.of_summaries(given["x"])["triton"].backward(
            x,
            ops.reshape(passed, ops.shape(x)),
            attention,
            context,
            dcontext,
            _of_each_channel(rest.pop(0), x) if steps else None,
            given["query"],
            encoding,
            *(given.get(name) for name in ("keep", "scale", "shift")),
        )
        return in_shape(given, found)

    def in_shape(given, found):
        found = dict(zip(("x", "query", "encoding", "scale", "shift"), found, strict=False))
        return tuple(
            ops.cast(ops.reshape(found[name], ops.shape(given[name])), given[name].dtype)
            for name in names
            if name != "keep"
        )

    def backward(residuals, g):
        g = g if attend or steps else (g,)
        found = list(chosen(gradients, gradients_in_kernel, residuals)(*residuals, *g))
        if "keep" in names:
            place = names.index("keep")
            found.insert(place, ops.zeros_like(residuals[place]))
        return tuple(found)

    def chosen(plain, in_kernel, tensors):
        """Return what to call: kernels hold what has an attended mean."""
        x = tensors[names.index("x")]
        held = kernels.of_summaries(x) if attend and kernels.wanted(compiled) else {}
        return by_platform(plain, plain, **dict.fromkeys(held, in_kernel))

    return with_backward(forward, backward, compiled)


def _of_each_channel(dmean, x):
    """Return the gradient (B, T, C) of the mean of each channel, where that of all may be given."""
    if len(dmean.shape) == 3:
        return dmean
    channels = x.shape[-1]
    return ops.broadcast_to(dmean[..., None] / channels, (*ops.shape(dmean), channels))


def _of_each_value(dmean, x):
    """Return what a mean of (B, T, HW, C) passes on to each place: (B, T, C) or (B, T, 1)."""
    places, channels = ops.shape(x)[2:]
    if len(dmean.shape) == 2:
        dmean, places = dmean[..., None], places * channels
    return dmean / (places if isinstance(places, int) else ops.cast(places, "float32"))


def _projections(x, query, encoding, steps):
    """`x' . query`, float32 (B, T, HW), and if asked for the mean of each step, (B, T)."""
    # Both are sums over the channels: one pass over x and not two.
    columns = ops.stack([query, ops.ones_like(query)][: 1 + steps], axis=1)
    found = ops.matmul(ops.reshape(x, (-1, x.shape[-1])), columns)
    found = ops.cast(ops.reshape(found, (*ops.shape(x)[:3], 1 + steps)), "float32")
    logits, mean = found[..., 0], None
    if encoding is not None:
        logits = logits + ops.cast(ops.matmul(encoding, query), "float32")
    if steps:
        # A slice, since OpenVINO takes the wrong places of the last axis by an index.
        mean = ops.mean(found[..., 1:], axis=(2, 3)) / x.shape[-1]
        if encoding is not None:
            mean = mean + ops.mean(ops.cast(encoding, "float32"), axis=(1, 2))
    return logits, mean


def _projections_in_a_loop(x, query, encoding, steps):
    """Return the same as `_projections` as sums of products."""
    query = ops.cast(query, "float32")
    logits = ops.sum(ops.cast(x, "float32") * query, axis=-1)
    if encoding is not None:
        logits = logits + ops.sum(ops.cast(encoding, "float32") * query, axis=-1)
    return logits, _plain_mean(x, encoding, "mean") if steps else None


def _attended(x, attention, encoding):
    weights = ops.cast(attention, x.dtype)
    total = ops.matmul(weights[:, :, None, :], x)[:, :, 0]
    if encoding is not None:
        # (B, T, HW) with (T, HW, C): the batch belongs inside the matrix product.
        shared = ops.matmul(ops.transpose(weights, (1, 0, 2)), encoding)
        total = total + ops.transpose(shared, (1, 0, 2))
    return ops.cast(total, "float32")


def _attended_gradient(x, query, encoding, attention, dcontext):
    """Return the products that the attended mean passes on to x'; dq; and dE."""
    query = ops.cast(query, "float32")
    low = ops.cast(dcontext, x.dtype)
    da = ops.matmul(x, low[..., None])[..., 0]
    if encoding is not None:
        # (T, HW, C) with (T, C, B): the batch belongs inside the matrix product.
        shared = ops.matmul(encoding, ops.transpose(low, (1, 2, 0)))
        da = da + ops.transpose(shared, (2, 0, 1))
    da = ops.cast(da, "float32")
    dk = attention * (da - ops.sum(attention * da, axis=-1, keepdims=True))
    products = [(attention[..., None], dcontext[:, :, None, :]), (dk[..., None], query)]
    dq, de = _dot_rows(dk, x), None
    if encoding is not None:
        total = ops.sum(dk, axis=0)
        dq = dq + _dot_rows(total, encoding)
        # (T, HW, B) with (T, B, C).
        de = ops.matmul(ops.transpose(attention, (1, 2, 0)), ops.transpose(dcontext, (1, 0, 2)))
        de = de + total[..., None] * query
    return products, dq, de


def _plain_mean(x, encoding, steps):
    axes = (2,) if steps == "channels" else (2, 3)
    mean = float_mean(x, axes)
    if encoding is not None:
        mean = mean + float_mean(encoding, tuple(a - 1 for a in axes))
    return mean


def _dot_rows(weights, rows):
    """Sum over all rows (..., C) weighted by (...): float32 (C,)."""
    rows = ops.reshape(rows, (-1, rows.shape[-1]))
    weights = ops.reshape(ops.cast(weights, rows.dtype), (1, -1))
    return ops.cast(ops.matmul(weights, rows)[0], "float32")
