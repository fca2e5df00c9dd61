"""Networks whose weights are allocated only after they have been looked at."""

import contextlib

import keras

# Checked with Keras 3.15: variables made inside a StatelessScope wait here for their values.
from keras.src.backend.common import global_state

PENDING = "uninitialized_variables"


@contextlib.contextmanager
def deferred(keep=True):
    """Inside, weights have shapes and no values.

    They get their start values when the block is left, in the order in which they were made, or
    never if it is left by an error.

    Args:
        keep: if False, they never get values.
    """
    waiting = global_state.get_global_attribute(PENDING, [], set_to_default=True)
    before = len(waiting)
    made = []
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield
        made = waiting[before:] if keep else []
    finally:
        del waiting[before:]
    for variable in made:
        variable._deferred_initialize()
