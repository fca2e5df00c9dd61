"""Samples where there is no data set: freely licensed pictures that scikit-image ships."""

import numpy as np

from keras_staa.image_utils import preprocess_input
from keras_staa.pictures import fitted, pillow

# All in the public domain or CC0, and part of the package.
NAMES = ("chelsea", "rocket", "astronaut", "coffee")
# What a simulated event camera calls a change of brightness, and the way of the picture in pixels.
CONTRAST, WAY = 0.15, 2


def pictures(shape):
    """Return pictures as a network for images takes them.

    Args:
        shape: (height, width, channels), of 1 or 3 channels.

    Returns:
        float32 array (4, height, width, channels) in [0, 1].

    Raises:
        ImportError: if scikit-image or Pillow is not installed.
        ValueError: for other channels.
    """
    if shape[-1] not in (1, 3):
        raise ValueError(f"`data` must be given for a network of {shape[-1]} channels.")
    return preprocess_input(np.stack([_read(name, shape) for name in NAMES]))


def moving(shape):
    """Return what an event camera would see of pictures that move, by a simple simulation.

    The logarithm of the brightness is compared with that of the step before: each whole `CONTRAST`
    of a change is an event.

    Args:
        shape: (T, height, width, 2).

    Returns:
        float32 array (4, T, height, width, 2), counts of OFF and ON events.
    """
    steps, height, width, channels = shape
    if channels != 2:
        raise ValueError(f"`data` must be given for a network of {channels} channels.")
    found = np.zeros((len(NAMES), *shape), "float32")
    size = height + 2 * WAY, width + 2 * WAY
    for sample, name in enumerate(NAMES):
        bright = np.log(_read(name, (*size, 1))[..., 0] / 255.0 + 0.1)
        before = None
        for t in range(steps + 1):
            angle = 2 * np.pi * t / steps
            row, column = (round(WAY * (1 + f(angle))) for f in (np.sin, np.cos))
            seen = bright[row : row + height, column : column + width]
            if before is not None:
                change = (seen - before) / CONTRAST
                found[sample, t - 1, ..., 0] = np.floor(np.maximum(-change, 0))
                found[sample, t - 1, ..., 1] = np.floor(np.maximum(change, 0))
            before = seen
    return found


def _read(name, shape):
    """Return the square in the middle of a picture as uint8 of this shape."""
    try:
        from skimage import data
    except ModuleNotFoundError as error:
        raise ImportError(
            "Without `data` the pictures of scikit-image are used: `pip install scikit-image`."
        ) from error
    Image, _ = pillow()
    picture = Image.fromarray(getattr(data, name)()).convert("L" if shape[-1] == 1 else "RGB")
    return fitted(picture, shape)
