"""`early_exit`: an image or recording is classified by as many time steps as it takes."""

import dataclasses

import keras
import numpy as np
from keras import ops

from keras_staa import _keras, checks
from keras_staa.insight import watching
from keras_staa.ops.inference import for_inference
from keras_staa.streaming.stepping import Stepper


@dataclasses.dataclass(frozen=True)
class Exits:
    """What `EarlyExit.predict` returns.

    Attributes:
        probabilities: array (N, classes), of the step at which each sample left.
        steps: array (N,), how many time steps each sample took.
    """

    probabilities: np.ndarray
    steps: np.ndarray

    @property
    def mean_steps(self):
        """The mean number of time steps."""
        return float(self.steps.mean())


def early_exit(model, threshold=0.9):
    """Return a classifier that stops as soon as it is sure.

    Samples that have left their batch are not computed any further. Samples that never reach the
    threshold take all T steps, and get what `model.predict` gives.

    Args:
        model: a `Stepper`, or a model as `Stepper` takes it, with outputs (B, classes):
            probabilities or logits.
        threshold: float in (0, 1], the probability of a class with which a sample leaves.

    Returns:
        An `EarlyExit`.

    Raises:
        ValueError: for a threshold outside its range, or a model that `Stepper` refuses or that
            does not classify.

    Example:

    >>> import keras_staa
    >>> model = keras_staa.STAACompact(width=4, steps=2, causal=True)
    >>> images = np.random.rand(3, 32, 32, 3).astype("float32")
    >>> found = early_exit(model, threshold=1.0).predict(images)
    >>> found.probabilities.shape, found.steps.tolist()
    ((3, 10), [2, 2, 2])
    """
    return EarlyExit(model, threshold)


class EarlyExit:
    """A classifier that stops as soon as it is sure: see `early_exit`.

    Attributes:
        stepper: the `Stepper`.
        threshold: float in (0, 1].
    """

    def __init__(self, model, threshold=0.9):
        self.stepper = classifier("model", model)
        self.threshold = threshold
        softmax = not _is_softmax(self.stepper.model.outputs[0])
        self._probabilities = for_inference(ops.softmax if softmax else lambda y: y, [])

    @property
    def threshold(self):
        """The probability with which a sample leaves; it may be changed."""
        return self._threshold

    @threshold.setter
    def threshold(self, value):
        checks.positive("threshold", value)
        self._threshold = checks.fraction("threshold", value)

    def predict(self, x, batch_size=32):
        """Return class probabilities, and how many time steps they took.

        Args:
            x: images or frames as the model takes them: an array, or an iterable of batches as
                `fit` takes it. Labels are ignored.
            batch_size: positive integer, for arrays.

        Returns:
            An `Exits`.

        Raises:
            ValueError: for samples of another shape, no samples, or values that are not numbers.
        """
        batch_size = checks.positive_int("batch_size", batch_size)
        batches = watching.checked(watching.batches_of(x, batch_size), self.stepper.model)
        found = [self._batch(batch, max(batch_size, len(batch))) for batch in batches]
        return Exits(*(np.concatenate(parts) for parts in zip(*found, strict=True)))

    def _batch(self, batch, batch_size):
        stepper, count = self.stepper, len(batch)
        probabilities = np.zeros((count, stepper.model.output_shape[-1]), "float32")
        steps, waiting = np.full(count, stepper.steps), np.ones(count, bool)
        # Which samples are computed. Some are twice, so that there are few sizes to compile.
        rows = _filled(np.arange(count), batch_size)
        inputs = stepper.prepare(batch[rows]) if stepper.takes_images else None
        state = stepper.initial_state(len(rows))
        for t in range(stepper.steps):
            x = batch[rows, t] if inputs is None else inputs
            outputs, state = stepper.step(x, state)
            y = ops.convert_to_numpy(self._probabilities(outputs))
            open_ = waiting[rows]
            probabilities[rows[open_]] = y[open_]
            sure = rows[open_ & (y.max(axis=-1) >= self.threshold)]
            steps[sure], waiting[sure] = t + 1, False
            if not waiting.any():
                break
            kept = _filled(np.flatnonzero(waiting[rows] & _first(rows)), len(rows))
            if len(kept) < len(rows):
                rows, state = rows[kept], stepper.take(state, kept)
                inputs = None if inputs is None else inputs.take(kept)
        return probabilities, steps


def classifier(argument, model):
    """Return the `Stepper` of a model that classifies, with a known number of time steps.

    Args:
        argument: string, the argument that the model was given for.
        model: a `Stepper`, or what it takes.

    Raises:
        ValueError: if it does not classify.
    """
    stepper = model if isinstance(model, Stepper) else Stepper(model)
    shape = stepper.model.output_shape
    if isinstance(shape, list) or len(shape) != 2 or stepper.steps is None:
        raise ValueError(
            f"`{argument}` must give probabilities or logits (B, classes) of a known number of "
            f"time steps. Received: output_shape={shape}, steps={stepper.steps}"
        )
    return stepper


def _filled(rows, most):
    """Return the rows, and the last one again until they are `most`, or a half of it, and so on."""
    size = most
    while size > 1 and -(-size // 2) >= len(rows):
        size = -(-size // 2)
    return np.concatenate([rows, np.full(size - len(rows), rows[-1])])


def _first(rows):
    """Whether each row is the first of its value."""
    found = np.zeros(len(rows), bool)
    found[np.unique(rows, return_index=True)[1]] = True
    return found


def _is_softmax(tensor):
    layer = _keras.made_by(tensor)
    softmax = isinstance(layer, keras.layers.Softmax)
    return softmax or getattr(layer, "activation", None) is keras.activations.softmax
