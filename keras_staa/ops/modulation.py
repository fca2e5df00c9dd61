"""What gates and an encoding do to a current."""

from keras import ops


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
