"""The largest current of a neuron."""

from keras import ops

from keras_staa.ops.portable import is_portable
from keras_staa.ops.threshold import clip

# Currents saturate here, so that no potential is infinite: the difference of two infinities is no
# number, nor is their product with a gradient of zero.
LARGEST_CURRENT = 1e30


def saturated(current):
    """Return a current in float32, infinite ones as very large ones.

    A network that is exported has no such bound: 16 bits do not hold it, and 8 bits would be spread
    over all of its range.

    Example:

    >>> current = saturated(ops.array(float("inf")))
    >>> float(current) < float("inf")
    True
    """
    current = ops.cast(current, "float32")
    return current if is_portable() else clip(current, -LARGEST_CURRENT, LARGEST_CURRENT)
