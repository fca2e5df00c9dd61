"""Parts of a batch as float32 in the cache, for PyTorch on a CPU.

A sum or an update of bfloat16 values in float32 makes a float32 copy of all of them there, which
takes longer than the sum.
"""

import torch

# Elements of a block.
BLOCK = 1 << 17


def blocks(values):
    """Go through a batch.

    Args:
        values: tensor (B, ...).

    Yields:
        Slices of the batch, and for each a float32 tensor of the values, to be overwritten before
        the next one.
    """
    size = max(1, BLOCK // max(1, values[0].numel()))
    spare = torch.empty((min(size, len(values)), *values.shape[1:]))
    for start in range(0, len(values), size):
        found = values[start : start + size]
        yield slice(start, start + size), spare[: len(found)].copy_(found)


def mean(values, axes):
    """Return the mean over axes of which none is the first, float32."""
    found = [torch.mean(block, dim=axes) for _, block in blocks(values)]
    return torch.cat(found)


def batch_sum(values, weights=None):
    """Sum a tensor (B, ...) over the batch, weighted by float32 (B, T) where it is (B, T, ...)."""
    total = torch.zeros(values.shape[1:])
    for part, block in blocks(values):
        if weights is not None:
            found = weights[part]
            # Nearly all are 1 in training, and all in most blocks.
            if not bool((found == 1).all()):
                block.mul_(found.reshape(*found.shape, *[1] * (values.ndim - 2)))
        total += block.sum(0)
    return total


def added(values, products, mean=None):
    """Return `values` and what is added to it: see `keras_staa.ops.collected`."""
    out = torch.empty(values.shape, dtype=values.dtype)
    for part, block in blocks(values):
        for left, right in products:
            block.addcmul_(_at(left, part), _at(right, part))
        if mean is not None:
            block.add_(_at(mean, part))
        out[part].copy_(block)
    return out


def _at(tensor, part):
    return tensor if tensor.ndim < 4 or len(tensor) == 1 else tensor[part]
