"""Private corners of Keras."""


def made_by(tensor):
    """The operation that made a Keras tensor. Checked with Keras 3.15."""
    return tensor._keras_history.operation


def trainable_even_if_frozen(layer):
    """The variables that a layer itself trains, or would if it were not frozen.

    Checked with Keras 3.15; `trainable_variables` is empty for a frozen layer.
    """
    return layer._trainable_variables
