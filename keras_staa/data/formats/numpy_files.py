"""NumPy files: a structured array or one of four columns, or (.npz) an array for each part."""

import numpy as np

from keras_staa.data.formats import columns, tables
from keras_staa.data.formats import contract as shared


def open_recording(path, events):
    """Open a recording.

    A .npy file is read piece by piece, a .npz file at once. An .npz file may state the sensor in
    arrays `height` and `width`.

    Args:
        path: path of the file.
        events: how many events a block may have.

    Returns:
        A `Source`.

    Raises:
        ValueError: if the file is damaged or has no x, y, t and p.
    """
    arrays = _arrays(path)
    size = columns.sensor_size(path, arrays)
    found = [name for name, array in arrays.items() if tables.is_table(array)]
    if len(found) == 1 and not columns.find(arrays):
        return shared.Opened(size, _table(path, arrays, found[0], events))
    return shared.Opened(size, _blocks(path, _parts(path, arrays), events))


def _arrays(path):
    with open(path, "rb") as file:
        magic = file.read(6)
    try:
        if magic == b"\x93NUMPY":
            # Maps the file instead of reading it, and never takes pickled objects.
            arrays = {"": np.lib.format.open_memmap(path, mode="r")}
        else:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
    except Exception as error:  # Damaged zip files and headers raise a dozen kinds.
        shared.reject(
            path,
            "be a whole NumPy file without pickled objects",
            f"{type(error).__name__}: {error}",
        )
    for name, array in arrays.items():
        # What is no array in a zip file comes as bytes.
        if not isinstance(array, np.ndarray):
            shared.reject(path, "hold arrays alone", f"{name} without the mark of one")
    return arrays


def _parts(path, arrays):
    found = columns.find(arrays)
    if found:
        return [arrays[name] for name in found]
    for array in arrays.values():
        found = columns.find(array.dtype.names or ())
        if found:
            return [array[name] for name in found]
    here = [f"{name or 'array'} {array.shape} of {array.dtype}" for name, array in arrays.items()]
    wanted = f"have fields or arrays {columns.wanted()}, or an array of {tables.COLUMNS} columns"
    shared.reject(path, wanted, f"{here}")


def _blocks(path, parts, events):
    # Of different lengths only in a file that is refused as soon as it is checked.
    total = max((len(part) for part in parts if part.ndim), default=1)
    for start in range(0, total, events):
        yield tuple(part[start : start + events] if part.ndim else part for part in parts)
        if isinstance(parts[0], np.memmap):
            # A map keeps all that was read of it in memory.
            parts = _parts(path, _arrays(path))


def _table(path, arrays, name, events):
    total = len(arrays[name])

    def rows(start, stop):
        array = arrays[name]
        # A map keeps all that was read of it in memory.
        array = _arrays(path)[name] if isinstance(array, np.memmap) else array
        return array[start:stop]

    layout = tables.layout(path, rows, total)
    for start in range(0, total, events):
        yield tables.columns(rows(start, start + events), layout)
