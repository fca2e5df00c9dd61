"""Statistics of batch normalization, computed again after a training."""

import keras
import numpy as np

from keras_staa import checks
from keras_staa.checkpoint_files import generators
from keras_staa.layers import flatten_layers


def recalibrate(model, batches, steps=50):
    """Compute the moving averages of batch normalization again, from whole batches.

    In training they are averages of the last few batches alone, and of augmented ones. With small
    batches, or strong augmentation, they fit the data that the network is used on badly. Here they
    become the mean and the variance over the samples of all batches: a variance is the mean of
    those within the batches, plus that of the batches' means. Nothing else of the network changes.

    Args:
        model: a `keras.Model`, trained.
        batches: batches of training samples `(x, ...)` in random order, best without augmentation.
            The larger they are, the better.
        steps: positive integer, how many batches are used at most.

    Returns:
        The same model.

    Raises:
        ValueError: if there are no batches.

    Example:

    >>> import keras_staa
    >>> model = keras_staa.STAAVGG(width=4, steps=2)
    >>> train = keras_staa.data.arrays(np.random.rand(64, 32, 32, 3), batch_size=16)
    >>> recalibrate(model, train) is model
    True

    Source: "precise batch normalization", section 3 of Wu and Johnson, 2021,
    https://arxiv.org/abs/2105.07576
    """
    steps = checks.positive_int("steps", steps)
    found = [x for x in flatten_layers(model) if isinstance(x, keras.layers.BatchNormalization)]
    layers = list({id(layer): layer for layer in found if layer.trainable}.values())
    if not layers:
        return model
    momenta, sums, count = [layer.momentum for layer in layers], None, 0
    random = [(v, keras.ops.convert_to_numpy(v)) for v in generators(model)]
    try:
        for layer in layers:
            # Then the averages are those of the last batch.
            layer.momentum = 0.0
        for x, *_ in _first(batches, steps):
            model(x, training=True)
            size = len(keras.tree.flatten(x)[0])
            now = [size * _moments(layer) for layer in layers]
            sums = now if sums is None else [a + b for a, b in zip(sums, now, strict=True)]
            count += size
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
        for variable, value in random:
            variable.assign(value)
    if not count:
        raise ValueError("`batches` must have at least one batch. Received: none")
    for layer, total in zip(layers, sums, strict=True):
        mean, square = total / count
        layer.moving_mean.assign(mean)
        layer.moving_variance.assign(np.maximum(square - mean**2, 0))
    return model


def _moments(layer):
    """Return the mean and the mean square of a batch, whose statistics the layer holds."""
    moving = (layer.moving_mean, layer.moving_variance)
    mean, variance = (keras.ops.convert_to_numpy(v).astype("float64") for v in moving)
    return np.stack([mean, variance + mean**2])


def _first(batches, steps):
    for number, batch in enumerate(batches):
        if number == steps:
            return
        yield batch if isinstance(batch, tuple | list) else (batch,)
