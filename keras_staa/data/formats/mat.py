"""MATLAB files, read with SciPy in a process of its own."""

import numpy as np

from keras_staa.data.formats import columns, process
from keras_staa.data.formats import contract as shared

# ST-MNIST: a row for each of 10 x 10 taxels and a last one with the time in seconds.
_TAXELS, _TAXEL_SIZE = "spiketrain", (10, 10)


def open_recording(path, events):
    """Open a recording.

    Args:
        path: path of the file.
        events: how many events a block may have.

    Returns:
        A `Source`.

    Raises:
        ValueError: if the file is damaged or has no x, y, t and p.
        ImportError: if SciPy is not installed.
    """
    return process.open_recording("mat", path, events)


def parse(path, name, events):
    """As `source`, but in this process; `name` is what errors call the file."""
    try:
        from scipy import io
    except ImportError as error:
        raise ImportError(
            f"{name} is a MATLAB file, which is read with scipy, which could not be imported "
            f"({error}). Install it with `pip install scipy`."
        ) from error
    try:
        variables = io.loadmat(path, squeeze_me=True)
    except NotImplementedError:
        wanted = "be a MATLAB file of version 7 or before (`save` with '-v7')"
        shared.reject(name, wanted, "one of version 7.3")
    variables = {k: np.asarray(v) for k, v in variables.items() if not k.startswith("__")}
    for place in (variables, *map(_members, variables.values())):
        if found := columns.find(place):
            # Squeezed, a single event has no axis.
            parts = [np.atleast_1d(place[part]) for part in found]
            return shared.Opened(columns.sensor_size(name, place), _blocks(parts, events))
    if _TAXELS in variables:
        return shared.Opened(_TAXEL_SIZE, _blocks(_taxels(name, variables[_TAXELS]), events))
    here = {key: value.dtype.names or value.shape for key, value in variables.items()}
    shared.reject(name, f"have variables or a struct with {columns.wanted()}", f"{here}")


def _members(value):
    names = value.dtype.names if value.shape == () else None
    return {name: np.asarray(value[name].item()) for name in names or ()}


def _taxels(name, table):
    height, width = _TAXEL_SIZE
    if table.ndim != 2 or len(table) != height * width + 1 or table.dtype.kind not in "iuf":
        wanted = f"have a {_TAXELS} of {height * width} taxels and the time"
        shared.reject(name, wanted, f"shape {table.shape} of {table.dtype}")
    moment, taxel = np.nonzero(table[:-1].T)
    return taxel % width, taxel // width, np.round(table[-1, moment] * 1e6), table[taxel, moment]


def _blocks(parts, events):
    for start in range(0, max(map(len, parts)), events):
        yield tuple(part[start : start + events] for part in parts)
