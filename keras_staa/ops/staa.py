"""The spatial-temporal attention aggregator, as functions on tensors.

The encoded current x' = x + E is summed over space twice (once weighted by attention, once
plainly) and scaled once. Sums split into a part of x and a part of E, which has no batch axis, so
that x' itself is never stored: `x' . q = x . q + E . q` and `A^T x' = A^T x + A^T E`.
"""

from keras import ops


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


def attended_mean(x, query, encoding=None):
    """Mean over space of x', weighted by a softmax over space of `x' . query`.

    Args:
        x: tensor (B, T, H, W, C).
        query: tensor (C,), the key convolution's kernel.
        encoding: tensor (T, H, W, C) to add to x, or None.

    Returns:
        float32 tensor (B, T, C).
    """
    x, encoding = _flat(x, encoding)
    query = ops.cast(query, x.dtype)[:, None]
    logits = ops.matmul(x, query)
    if encoding is not None:
        logits = logits + ops.matmul(encoding, query)
    logits = ops.cast(logits, "float32")
    # Keras warns of a softmax over one place; times zero, the query keeps a gradient.
    weights = 0.0 * logits + 1.0 if x.shape[2] == 1 else ops.softmax(logits, axis=2)
    weights = ops.cast(ops.swapaxes(weights, 2, 3), x.dtype)
    total = ops.matmul(weights, x)
    if encoding is not None:
        # (B, T, 1, HW) with (T, HW, C): the batch belongs inside the matrix product.
        shared = ops.matmul(ops.transpose(weights[:, :, 0], (1, 0, 2)), encoding)
        total = total + ops.transpose(shared, (1, 0, 2))[:, :, None, :]
    return ops.cast(total[:, :, 0], "float32")


def step_mean(x, encoding=None):
    """Mean of x' over space and channels: float32 tensor (B, T)."""
    mean = ops.mean(ops.cast(x, "float32"), axis=(2, 3, 4))
    if encoding is not None:
        mean = mean + ops.mean(ops.cast(encoding, "float32"), axis=(1, 2, 3))
    return mean


def modulate(x, gate, encoding=None, bypass=None):
    """`(x + E) * gate`, but x itself where the aggregator is bypassed.

    Args:
        x: tensor (B, T, H, W, C).
        gate: float32 tensor (B, T, C) or (B, T, 1).
        encoding: tensor (T, H, W, C), or None.
        bypass: boolean tensor (B, T), or None.

    Returns:
        Tensor of the shape and dtype of `x`.
    """
    scale = gate
    if bypass is not None:
        keep = ops.cast(ops.logical_not(bypass), "float32")[:, :, None]
        gate = gate * keep
        scale = gate + (1.0 - keep)
    scale, gate = (ops.cast(g, x.dtype)[:, :, None, None, :] for g in (scale, gate))
    return x * scale if encoding is None else x * scale + encoding * gate


def _flat(x, encoding):
    """Merge the two axes of space."""
    _, t, h, w, c = x.shape
    x = ops.reshape(x, (-1, t, h * w, c))
    if encoding is not None:
        encoding = ops.reshape(ops.cast(encoding, x.dtype), (t, h * w, c))
    return x, encoding
