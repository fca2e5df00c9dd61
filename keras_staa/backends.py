"""Which backends of Keras the layers run on, said where another or none is there."""

import importlib.util
import os

SUPPORTED = ("tensorflow", "jax", "torch")


def check():
    """Import Keras, on a backend that is supported.

    Raises:
        ImportError: if Keras is set to another backend, or to one that is not installed.
    """
    _check_supported(os.environ.get("KERAS_BACKEND") or SUPPORTED[0])
    try:
        import keras
    except ModuleNotFoundError as error:
        if error.name not in SUPPORTED:
            raise
        raise ImportError(
            f"Keras is set to the backend {error.name!r}, which is not installed. {_advice()}"
        ) from error
    _check_supported(keras.backend.backend())


def _check_supported(backend):
    if backend not in SUPPORTED:
        raise ImportError(
            f"keras_staa runs on the backends {', '.join(SUPPORTED)}. Received: {backend!r}, from "
            f"the environment variable KERAS_BACKEND or Keras's configuration file. {_advice()}"
        )


def _advice():
    installed = [name for name in SUPPORTED if importlib.util.find_spec(name)]
    if not installed:
        return f"Install one of them, as with `pip install {SUPPORTED[0]}`; none is installed."
    return (
        f"Set the environment variable KERAS_BACKEND={installed[0]} before Python starts "
        f"(installed: {', '.join(installed)})."
    )
