"""Weights as HDF5 files that are made and read in memory.

HDF5 writes to a disk in its own way: on a full one it kills the process. What is made in memory
first is written by Python, which raises an OSError, and reading needs no temporary folder.
"""

import contextlib
import io
import os
import pathlib


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


def write(path, *parts):
    """Write a file that is there whole or not at all, whenever the process or the machine stops.

    Args:
        path: of the file. One that is there is replaced.
        *parts: bytes-like, one after the other.

    Raises:
        OSError: if the disk is full or the folder cannot be written. What was at `path` is still
            there.
    """
    path = pathlib.Path(path)
    partial = partial_name(path)
    try:
        with open(partial, "wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise
    _sync_folder(path.parent)


def partial_name(path):
    """Return the name under which `write` begins a file, which a killed process leaves behind."""
    return path.with_name(path.name + ".partial")


def _sync_folder(folder):
    """Make the new name last, too. Not every system lets a folder be opened."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
