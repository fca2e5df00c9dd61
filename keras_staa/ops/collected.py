"""The gradient of a current that is read several times, collected in few passes over memory."""

import keras
from keras import ops

_TORCH = keras.backend.backend() == "torch"
if _TORCH:
    from keras_staa.ops import cached, in_place


def collected(passed, products, mean=None):
    """Add to a gradient what means of the same current pass on to it.

    Args:
        passed: tensor (B, T, HW, C).
        products: list of pairs of float32 tensors that broadcast to its shape, whose products are
            added.
        mean: float32 tensor that broadcasts to its shape, or None.

    Returns:
        Tensor (B, T, HW, C): float32, but on PyTorch where operations run one by one that of
        `passed`. The sum is float32.

    Example:

    >>> one = ops.ones((1, 1, 2, 3))
    >>> float(ops.max(collected(one, [(one[..., :1], one[:, :, :1])], one)))
    3.0
    """
    if _TORCH and in_place.is_plain(passed):
        return cached.added(passed, products, mean)
    total = ops.cast(passed, "float32")
    for left, right in products:
        total = total + left * right
    return total if mean is None else total + mean
