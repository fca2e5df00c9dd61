"""Whether a network is traced for another runtime, which then gets plain operations.

The forms that are fast in training are not those that other runtimes can hold: a threshold as a
division by the distance of two neighboring float32 numbers has no meaning in 16 or 8 bits, and
PyTorch's exporters wire the outputs of an autograd function wrongly.
"""

import contextlib

import keras

# A list and not a `contextvars.ContextVar`, which `torch.compile` does not follow.
_PORTABLE = [False]


@contextlib.contextmanager
def portable():
    """Trace networks in plain operations inside of the context.

    Example:

    >>> with portable():
    ...     is_portable()
    True
    >>> is_portable()
    False
    """
    before, _PORTABLE[0] = _PORTABLE[0], True
    try:
        yield
    finally:
        _PORTABLE[0] = before


def is_portable():
    """Whether what is traced now is to be run elsewhere."""
    return _PORTABLE[0] or (keras.backend.backend() == "torch" and _torch_exports())


def _torch_exports():
    import torch

    return torch.compiler.is_exporting() or torch.jit.is_tracing()
