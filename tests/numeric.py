"""Gradients against differences."""

import numpy as np


def assert_gradients(loss, arrays, gradients, step=1e-5):
    """Central differences of `loss()` in every entry of every array, in place.

    The error is relative to the largest entry of each gradient, which must not be zero.
    """
    assert arrays.keys() == gradients.keys()
    for name, array in arrays.items():
        numeric = np.empty_like(array)
        for index in np.ndindex(array.shape):
            start = array[index]
            array[index] = start + step
            above = loss()
            array[index] = start - step
            below = loss()
            array[index] = start
            numeric[index] = (above - below) / (2 * step)
        assert np.shape(gradients[name]) == array.shape, name
        scale = np.abs(numeric).max()
        assert scale > 1e-3, f"no gradient to compare for {name}"
        error = np.abs(gradients[name] - numeric).max() / scale
        assert error < 1e-6, f"{name}: relative error {error:.1e}"


# Surrogates.

# The integral of each surrogate: a smooth spike, of which it is the derivative.
SMOOTH_SPIKES = {
    "rectangular": lambda u: np.clip(u + 1 / 2, 0, 1),
    "triangular": lambda u: np.where(
        u < 0, np.clip(1 + u, 0, 1) ** 2 / 2, 1 - np.clip(1 - u, 0, 1) ** 2 / 2
    ),
    "sigmoid": lambda u: 1 / (1 + np.exp(-4 * u)),
    "arctan": lambda u: 1 / 2 + np.arctan(np.pi / 2 * 2 * u) / np.pi,
}
