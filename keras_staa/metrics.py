"""Metrics on the logits of each time step."""

from keras import ops

from keras_staa.losses import one_hot


def step_accuracy(y_true, y_pred):
    """Accuracy of the mean over time of the logits of each step, as the network predicts.

    For networks with `step_logits=True`: `model.compile(..., metrics=[step_accuracy])`.

    Args:
        y_true: integer labels (B,) or one-hot labels (B, classes).
        y_pred: logits (B, T, classes).

    Returns:
        float32 (B,), 1 where the class is right and 0 where not.

    Example:

    >>> logits = np.array([[[0.0, 1.0], [3.0, 0.0]]])  # their mean says class 0
    >>> float(step_accuracy(np.array([0]), logits)[0])
    1.0
    """
    target = ops.argmax(one_hot(y_true, y_pred.shape[-1]), axis=-1)
    guess = ops.argmax(ops.mean(y_pred, axis=1), axis=-1)
    return ops.cast(ops.equal(target, guess), "float32")
