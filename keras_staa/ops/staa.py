"""The spatial-temporal attention aggregator, as functions on tensors.

The encoded current x' = x + E is summed over space twice (once weighted by attention, once
plainly) and scaled once. Sums split into a part of x and a part of E, which has no batch axis, so
that x' itself is never stored: `x' . q = x . q + E . q` and `A^T x' = A^T x + A^T E`.
"""

import functools

from keras import ops

from keras_staa.ops.gradient import with_backward
from keras_staa.ops.portable import is_portable


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


def summaries(x, query=None, encoding=None, steps=True, compiled=False):
    """Compute what gates are made of: an attended mean of x' a channel, a plain one a time step.

    The gradient of `x` is collected in the one that is returned, so that whatever reads it
    afterwards and these means together write one gradient: use the returned `x` in place of `x`.

    Args:
        x: tensor (B, T, H, W, C).
        query: tensor (C,), the key convolution's kernel, or None for no attended mean.
        encoding: tensor (T, H, W, C) to add to x, or None.
        steps: whether to compute the mean a time step.
        compiled: as in `with_backward`.

    Returns:
        x; the mean over space of x', weighted by a softmax over space of `x' . query`, float32
        (B, T, C), or None; the mean of x' over space and channels, float32 (B, T), or None.
    """
    if query is None and not steps:
        return x, None, None
    alone = compiled and not is_portable()
    function = _summaries(query is not None, encoding is not None, bool(steps), alone)
    outputs = iter(function(*(tensor for tensor in (x, query, encoding) if tensor is not None)))
    x = next(outputs)
    return x, None if query is None else next(outputs), next(outputs) if steps else None


@functools.cache
def _summaries(attend, encoded, steps, compiled):
    def unpack(tensors):
        tensors = list(tensors)
        x = tensors.pop(0)
        _, t, h, w, c = ops.shape(x)
        query = ops.cast(tensors.pop(0), x.dtype) if attend else None
        encoding = ops.reshape(ops.cast(tensors[0], x.dtype), (t, h * w, c)) if encoded else None
        return ops.reshape(x, (-1, t, h * w, c)), query, encoding

    def forward(*tensors):
        x, query, encoding = unpack(tensors)
        outputs, residuals, mean = [tensors[0]], list(tensors), None
        if attend and x.shape[2] != 1:
            logits, mean = _projections(x, query, encoding, steps)
            attention = ops.softmax(logits, axis=2)
        elif attend:
            # Keras warns of a softmax over one place.
            attention = ops.ones(ops.shape(x)[:3], "float32")
        if attend:
            outputs.append(_attended(x, attention, encoding))
            residuals.append(attention)
        if steps:
            outputs.append(_step_mean(x, encoding) if mean is None else mean)
        return tuple(outputs), tuple(residuals)

    def backward(residuals, gradients):
        count = 1 + attend + encoded
        inputs, residuals = residuals[:count], residuals[count:]
        x, query, encoding = unpack(inputs)
        gradients = list(gradients)
        dx = ops.cast(ops.reshape(gradients.pop(0), ops.shape(x)), "float32")
        dq = de = None
        if attend:
            added, dq, de = _attended_gradient(x, query, encoding, residuals[0], gradients.pop(0))
            dx = dx + added
        if steps:
            dmean = gradients.pop(0)[:, :, None, None] / _number(x)
            dx = dx + dmean
            if encoded:
                each = ops.broadcast_to(ops.sum(dmean, axis=0), ops.shape(encoding))
                de = each if de is None else de + each
        result = [ops.reshape(ops.cast(dx, x.dtype), ops.shape(inputs[0])), dq, de]
        wanted = [inputs[0], inputs[1] if attend else None, inputs[-1] if encoded else None]
        return tuple(
            ops.cast(ops.reshape(gradient, ops.shape(given)), given.dtype)
            for gradient, given in zip(result, wanted, strict=True)
            if given is not None
        )

    return with_backward(forward, backward, compiled)


def _number(x):
    """How many places and channels (B, T, HW, C) has, as a number or a float32 tensor."""
    places, channels = ops.shape(x)[2:]
    number = places * channels
    return number if isinstance(number, int) else ops.cast(number, "float32")


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


def _attended(x, attention, encoding):
    weights = ops.cast(attention, x.dtype)
    total = ops.matmul(weights[:, :, None, :], x)[:, :, 0]
    if encoding is not None:
        # (B, T, HW) with (T, HW, C): the batch belongs inside the matrix product.
        shared = ops.matmul(ops.transpose(weights, (1, 0, 2)), encoding)
        total = total + ops.transpose(shared, (1, 0, 2))
    return ops.cast(total, "float32")


def _attended_gradient(x, query, encoding, attention, dcontext):
    """Return what the attended mean passes on to x', of rank two and stored nowhere; dq; and dE."""
    query = ops.cast(query, "float32")
    low = ops.cast(dcontext, x.dtype)
    da = ops.matmul(x, low[..., None])[..., 0]
    if encoding is not None:
        # (T, HW, C) with (T, C, B): the batch belongs inside the matrix product.
        shared = ops.matmul(encoding, ops.transpose(low, (1, 2, 0)))
        da = da + ops.transpose(shared, (2, 0, 1))
    da = ops.cast(da, "float32")
    dk = attention * (da - ops.sum(attention * da, axis=-1, keepdims=True))
    added = attention[..., None] * dcontext[:, :, None, :] + dk[..., None] * query
    dq, de = _dot_rows(dk, x), None
    if encoding is not None:
        total = ops.sum(dk, axis=0)
        dq = dq + _dot_rows(total, encoding)
        # (T, HW, B) with (T, B, C).
        de = ops.matmul(ops.transpose(attention, (1, 2, 0)), ops.transpose(dcontext, (1, 0, 2)))
        de = de + total[..., None] * query
    return added, dq, de


def _step_mean(x, encoding):
    mean = ops.mean(ops.cast(x, "float32"), axis=(2, 3))
    if encoding is not None:
        mean = mean + ops.mean(ops.cast(encoding, "float32"), axis=(1, 2))
    return mean


def _dot_rows(weights, rows):
    """Sum over all rows (..., C) weighted by (...): float32 (C,)."""
    rows = ops.reshape(rows, (-1, rows.shape[-1]))
    weights = ops.reshape(ops.cast(weights, rows.dtype), (1, -1))
    return ops.cast(ops.matmul(weights, rows)[0], "float32")


def modulate(x, gate, encoding=None, keep=None):
    """`(x + E) * gate`, but x itself in the steps that bypass the aggregator.

    Args:
        x: tensor (B, T, H, W, C).
        gate: float32 tensor (B, T, C) or (B, T, 1).
        encoding: tensor (T, H, W, C), or None.
        keep: float32 tensor (B, T), 0 in the steps that bypass and 1 in the others, or None.

    Returns:
        Tensor of the shape and dtype of `x`.
    """
    scale = scale_of(gate, keep)
    if keep is not None:
        gate = gate * keep[:, :, None]
    scale, gate = (ops.cast(g, x.dtype)[:, :, None, None, :] for g in (scale, gate))
    return x * scale if encoding is None else x * scale + encoding * gate


def enriched(x, gate=None, encoding=None, keep=None):
    """Return what an aggregator makes of a current: `modulate`, or x where it has nothing to add.

    Args:
        x, encoding, keep: as in `modulate`.
        gate: as in `modulate`, or None for 1.
    """
    if gate is None and encoding is None:
        return x
    return modulate(x, ops.ones((1, 1, 1), "float32") if gate is None else gate, encoding, keep)


def scale_of(gate, keep=None):
    """Return the gate, but 1 in steps that bypass the aggregator; arguments as in `modulate`."""
    return gate if keep is None else gate * keep[:, :, None] + (1.0 - keep)[:, :, None]
