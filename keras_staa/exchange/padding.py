"""Keras's padding "same" for libraries that pad both sides alike."""

import numpy as np


def symmetric(kernel, size, strides, padding):
    """Return a kernel, and by how much to pad both sides, for the convolution that Keras makes.

    Where Keras pads more behind than before, the kernel gets zeros in front.

    Args:
        kernel: array (filters, channels, rows, columns).
        size: (height, width) of the images.
        strides: pair of integers.
        padding: `"valid"` or `"same"`.

    Returns:
        An array (filters, channels, rows, columns), and a pair of integers.

    Example:

    >>> kernel, pads = symmetric(np.ones((1, 1, 3, 3)), (8, 8), (2, 2), "same")
    >>> kernel.shape, pads
    ((1, 1, 4, 4), (1, 1))
    """
    if padding == "valid":
        return kernel, (0, 0)
    extra, pads = [], []
    for extent, length, stride in zip(kernel.shape[2:], size, strides, strict=True):
        total = max((-(-length // stride) - 1) * stride + extent - length, 0)
        before = total // 2
        pads.append(total - before)
        extra.append(total - 2 * before)
    if kernel.shape[2] == kernel.shape[3] and extra[0] != extra[1]:
        # A square kernel stays one: NIR takes the rows for the columns. Where the zero in front is
        # more than Keras pads, the row of zeros behind is not read, for strides above 1.
        pads = [pad + 1 - n for pad, n in zip(pads, extra, strict=True)]
        extra = [1, 1]
    return np.pad(kernel, [(0, 0), (0, 0), *((n, 0) for n in extra)]), tuple(pads)
