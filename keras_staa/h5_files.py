"""Weights as HDF5 files that are made and read in memory.

HDF5 writes to a disk in its own way: on a full one it kills the process. What is made in memory
first is written by Python, which raises an OSError, and reading needs no temporary folder.
"""

import io


class _Memory(io.BytesIO):
    """A file in memory that Keras takes for a path.

    Keras (3.12 to 3.15) writes and reads weights through `io.BytesIO`, but first asks `str` of what
    it gets whether it ends in `.weights.h5`.
    """

    def __str__(self):
        return "memory.weights.h5"


def weights(model):
    """Return the file that `model.save_weights` writes, as `io.BytesIO`."""
    memory = _Memory()
    model.save_weights(memory)
    return memory


def load_weights(model, content):
    """`model.load_weights` from the content of a file.

    Args:
        model: a built `keras.Model`.
        content: bytes-like, what a `.weights.h5` file holds.
    """
    model.load_weights(_Memory(content))
