"""Networks whose weights are allocated only after they have been looked at."""

import contextlib

import keras

from keras_staa import _keras


@contextlib.contextmanager
def deferred(keep=True):
    """Inside, weights have shapes and no values.

    They get their start values when the block is left, in the order in which they were made, or
    never if it is left by an error.

    Args:
        keep: if False, they never get values.
    """
    waiting = _keras.waiting_variables()
    before = len(waiting)
    made = []
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield
        made = waiting[before:] if keep else []
    finally:
        del waiting[before:]
    for variable in made:
        _keras.initialize(variable)
