"""Losses on the logits of each time step."""

import keras
from keras import ops

from keras_staa import checks


@keras.saving.register_keras_serializable("keras_staa")
class TET(keras.losses.Loss):
    """Temporal efficient training: the cross-entropy of every time step, averaged.

    `(1 - regularization) * mean_t CE(O[t], y) + regularization * mean_t MSE(O[t], level)`, where
    O[t] are the logits of step t. It asks every step to be right, not only their mean, and is for
    networks with `step_logits=True`.

    Args:
        regularization: the weight lambda of the second term, in [0, 1).
        level: float, what the second term draws the logits to.
        label_smoothing: float in [0, 1).
        reduction, name, dtype: as in `keras.losses.Loss`.

    Call arguments:
        y_true: integer labels (B,) or one-hot labels (B, classes).
        y_pred: logits (B, T, classes).

    Raises:
        ValueError: for an argument outside its range, or logits without a time axis.

    Example:

    >>> logits = np.zeros((2, 4, 10), "float32")
    >>> round(float(TET()(np.array([3, 7]), logits)), 4)  # log 10
    2.3026

    Source: Deng, Li, Zhang and Gu, ICLR 2022, https://arxiv.org/abs/2202.11946
    """

    def __init__(
        self,
        regularization=0.0,
        level=1.0,
        label_smoothing=0.0,
        reduction="sum_over_batch_size",
        name="tet",
        dtype=None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.regularization = checks.fraction("regularization", regularization, below_one=True)
        self.label_smoothing = checks.fraction("label_smoothing", label_smoothing, below_one=True)
        self.level = float(level)

    def call(self, y_true, y_pred):
        _, steps, classes = _step_logits(y_pred)
        target = one_hot(y_true, classes)
        target = target * (1 - self.label_smoothing) + self.label_smoothing / classes
        target = ops.broadcast_to(target[:, None], ops.shape(y_pred))
        losses = ops.categorical_crossentropy(target, y_pred, from_logits=True)
        if self.regularization:
            distance = ops.mean(ops.square(y_pred - self.level), axis=-1)
            losses = (1 - self.regularization) * losses + self.regularization * distance
        return ops.mean(losses, axis=1)

    def get_config(self):
        return {
            **super().get_config(),
            "regularization": self.regularization,
            "level": self.level,
            "label_smoothing": self.label_smoothing,
        }


def one_hot(labels, classes):
    """Labels (B,), (B, 1) or one-hot (B, classes) as float32 (B, classes)."""
    labels = ops.convert_to_tensor(labels)
    if len(labels.shape) == 2 and labels.shape[1] == classes and classes > 1:
        return ops.cast(labels, "float32")
    return ops.one_hot(ops.reshape(ops.cast(labels, "int32"), (-1,)), classes, dtype="float32")


def _step_logits(y_pred):
    if len(y_pred.shape) != 3:
        raise ValueError(
            "`y_pred` must be the logits of each step, (batch, steps, classes), as a network with "
            f"`step_logits=True` gives them. Received: y_pred.shape={tuple(y_pred.shape)}"
        )
    return y_pred.shape
