"""`accuracy_by_step`: how often a network is right after each time step."""

import dataclasses

import numpy as np

from keras_staa import checks
from keras_staa.insight import watching
from keras_staa.streaming.exits import classifier


@dataclasses.dataclass(frozen=True)
class StepAccuracy:
    """What `accuracy_by_step` returns.

    Attributes:
        accuracy: tuple of floats in [0, 1], after each time step.
        samples: number of samples.
    """

    accuracy: tuple
    samples: int


def accuracy_by_step(model, x, y=None, batch_size=32, verbose=1):
    """Return the accuracy after each time step of the same run.

    The output after t steps is the mean over these: a network that is stopped there would give it.

    Args:
        model: a `keras_staa.streaming.Stepper`, or a model as it takes it, with outputs
            (B, classes).
        x: samples: an array, or an iterable of batches (inputs, labels) as `fit` takes it.
        y: labels of an array: classes (N,) or one-hot (N, classes).
        batch_size: positive integer, for arrays.
        verbose: 1 shows a progress bar, 0 does not.

    Returns:
        A `StepAccuracy`.

    Raises:
        ValueError: if the model cannot run one step at a time, or for samples of another shape or
            without labels, or no samples.

    Example:

    >>> import keras_staa
    >>> model = keras_staa.STAAVGG(width=8, steps=2, causal=True)
    >>> images, labels = np.random.rand(4, 32, 32, 3).astype("float32"), np.array([0, 1, 2, 3])
    >>> found = accuracy_by_step(model, images, labels, verbose=0)
    >>> len(found.accuracy), found.samples
    (2, 4)
    """
    stepper = classifier("model", model)
    batch_size = checks.positive_int("batch_size", batch_size)
    right, samples = np.zeros(stepper.steps), 0
    pairs, total = _pairs(x, y, batch_size), watching.count_batches(x, batch_size)
    for batch, labels in watching.checked(pairs, stepper.model, total, verbose):
        found = np.stack(list(stepper.each_step(batch))).argmax(axis=-1)
        right += (found == labels).sum(axis=1)
        samples += len(batch)
    return StepAccuracy(tuple(float(n) for n in right / samples), samples)


def _pairs(x, y, batch_size):
    """Yield batches of inputs and their classes (B,)."""
    batches = x
    if y is not None:
        y = np.asarray(y)
        if len(y) != len(x):
            raise ValueError(
                f"`y` must have a label for each of the {len(x)} samples. Received: {len(y)}"
            )
        starts = range(0, len(x), batch_size)
        batches = [(x[i : i + batch_size], y[i : i + batch_size]) for i in starts]
    elif hasattr(x, "dtype"):
        raise ValueError("`y` must be the labels of the array `x`. Received: y=None")
    for inputs, labels in watching.batches_with_labels(batches):
        one_hot = labels.ndim > 1 and labels.shape[-1] > 1
        yield inputs, (labels.argmax(axis=-1) if one_hot else labels.reshape(-1))
