"""HDF5 files with a dataset for each part of an event, read in a process of its own."""

import contextlib

from keras_staa.data.formats import columns, process
from keras_staa.data.formats import events as shared

# What deflate can make of a byte is less. A file that promises more holds no such data.
_MOST_BYTES_OF_ONE = 1100
# Of each dataset: some chunks as large as those that are common.
_CACHE = 16 * 2**20


def source(path, events):
    """Open a recording.

    The file may state the sensor in attributes `height` and `width`, at its root or of the group
    or dataset `events`.

    Args:
        path: path of the file.
        events: how many events a block may have.

    Returns:
        A `Source`.

    Raises:
        ValueError: if the file is damaged or has no x, y, t and p.
    """
    return process.source("h5", path, events)


def parse(path, name, events):
    """As `source`, but in this process; `name` is what errors call the file."""
    import h5py

    with contextlib.suppress(ImportError):
        import hdf5plugin  # noqa: F401  Further compressions, where it is installed.
    file = h5py.File(path, "r", locking=False, rdcc_nbytes=_CACHE)
    places = [file]
    if "events" in file:
        places.append(_member(h5py, name, file, "events"))
    for place in places:
        names = (place.dtype.names or ()) if isinstance(place, h5py.Dataset) else list(place)
        found = columns.find(names)
        if found:
            break
    else:
        here = [list(p) if isinstance(p, h5py.Group) else p.dtype for p in places]
        shared.reject(name, f"have datasets or fields {columns.wanted()}", f"{here}")
    stated = {}
    for attributes in (file.attrs, place.attrs):
        stated.update({k: attributes[k] for k in ("height", "width") if k in attributes})
    size = columns.sensor_size(name, stated)
    if isinstance(place, h5py.Dataset):
        return shared.Source(size, _fields(_checked(name, place), found, events))
    parts = [_checked(name, _member(h5py, name, place, part)) for part in found]
    return shared.Source(size, _blocks(parts, events))


def _member(h5py, name, group, key):
    # A link elsewhere could make any file of this machine part of a recording.
    if not isinstance(group.get(key, getlink=True), h5py.HardLink):
        shared.reject(name, f"hold {key} itself", "a link")
    return group[key]


def _checked(name, data):
    shape = getattr(data, "shape", None)
    if shape is None or len(shape) != 1:
        shared.reject(name, "have datasets of one axis", f"{data.name} with shape {shape}")
    if data.external or data.is_virtual:
        shared.reject(name, "hold its data itself", f"{data.name} with data in other files")
    size, stored = data.nbytes, data.id.get_storage_size()
    if size > stored * _MOST_BYTES_OF_ONE:
        shared.reject(name, f"hold the {size} bytes of {data.name}", f"{stored} bytes")
    return data


def _blocks(parts, events):
    for start in range(0, max(map(len, parts)), events):
        yield tuple(part[start : start + events] for part in parts)


def _fields(data, names, events):
    for start in range(0, len(data), events):
        block = data[start : start + events]
        yield tuple(block[name] for name in names)
