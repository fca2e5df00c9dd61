"""Metrics on the logits of each time step."""

from keras import ops

from keras_staa.losses import one_hot, step_logits_shape


def step_accuracy(y_true, y_pred):
    """Accuracy of the mean over time of the logits of each step, as the network predicts.

    For networks with `step_logits=True`: `model.compile(..., metrics=[step_accuracy])`. Among
    `weighted_metrics` it takes weights of samples, (B,); Keras refuses weights of steps, (B, T),
    since a sample is right or wrong as a whole.

    Args:
        y_true: integer labels (B,) or (B, 1), or one-hot labels (B, classes).
        y_pred: logits (B, T, classes).

    Returns:
        float32 (B,), 1 where the class is right and 0 where not.

    Raises:
        ValueError: for logits without a time axis, or labels of another shape.

    Example:

    >>> logits = np.array([[[0.0, 1.0], [3.0, 0.0]]])  # their mean says class 0
    >>> float(step_accuracy(np.array([0]), logits)[0])
    1.0
    """
    classes = step_logits_shape(y_pred)[-1]
    target = ops.argmax(one_hot(y_true, classes), axis=-1)
    guess = ops.argmax(ops.mean(y_pred, axis=1), axis=-1)
    return ops.cast(ops.equal(target, guess), "float32")
