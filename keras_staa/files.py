"""Files that are there whole or not at all, and their sha256."""

import contextlib
import hashlib
import os
import pathlib


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


def sha256(path):
    """Return the sha256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
