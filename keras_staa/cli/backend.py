"""The backend of a command, which must be chosen before Keras is imported."""

import os


def choose(name=None):
    """Let Keras have a backend, by default the one it is set to, and check that it is there.

    Args:
        name: None, `"tensorflow"`, `"jax"` or `"torch"`.

    Raises:
        ImportError: if the backend is not installed or not supported.
    """
    if name:
        os.environ["KERAS_BACKEND"] = name
    from keras_staa import backends

    backends.check()
