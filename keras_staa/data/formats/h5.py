"""HDF5 files, read in a process of its own: a dataset for each part of an event, or one of all."""

import contextlib
import re

from keras_staa.data.formats import columns, process, tables
from keras_staa.data.formats import contract as shared

# What deflate can make of a byte is less. A file that promises more holds no such data.
_MOST_BYTES_OF_ONE = 1100
_ECF = 36559
# Of each dataset: some chunks as large as those that are common.
_CACHE = 16 * 2**20


def open_recording(path, events):
    """Open a recording.

    The events lie at the root, in a group or dataset `events`, or, as Metavision has it, in the
    dataset `events` of the group `CD`. The file may state the sensor in attributes `height` and
    `width` or `geometry` (as in "640x480"), at its root or of the group or dataset of the events.

    Args:
        path: path of the file.
        events: how many events a block may have.

    Returns:
        A `Source`.

    Raises:
        ValueError: if the file is damaged, has no x, y, t and p, holds more than one recording, or
            is compressed by a filter that is not installed.
    """
    return process.open_recording("h5", path, events)


def parse(path, name, events):
    """As `source`, but in this process; `name` is what errors call the file."""
    import h5py

    with contextlib.suppress(ImportError):
        import hdf5plugin  # noqa: F401  Further compressions, where it is installed.
    file = h5py.File(path, "r", locking=False, rdcc_nbytes=_CACHE)
    places = [file]
    for keys in (("events",), ("CD", "events")):
        if "/".join(keys) in file:
            place = file
            for key in keys:
                place = member(h5py, name, place, key)
            places.append(place)
    if "spikes" in file and "labels" in file:
        wanted = "be one recording; give `keras_staa.data.events` its folder to read all"
        shared.reject(name, wanted, "a file of many recordings, such as that of spoken digits")
    place = places[-1]
    stated = {}
    for attributes in (file.attrs, place.attrs):
        stated.update({k: attributes[k] for k in ("height", "width") if k in attributes})
        stated.update(_geometry(attributes.get("geometry")))
    size = columns.sensor_size(name, stated)
    if isinstance(place, h5py.Dataset) and place.ndim == 2 and tables.is_table(place):
        return shared.Opened(size, _table(name, checked(h5py, name, place, 2), events))
    for place in places:
        names = (place.dtype.names or ()) if isinstance(place, h5py.Dataset) else list(place)
        found = columns.find(names)
        if found:
            break
    else:
        here = [list(p) if isinstance(p, h5py.Group) else p.dtype for p in places]
        shared.reject(name, f"have datasets or fields {columns.wanted()}", f"{here}")
    if isinstance(place, h5py.Dataset):
        return shared.Opened(size, _fields(checked(h5py, name, place), found, events))
    parts = [checked(h5py, name, member(h5py, name, place, part)) for part in found]
    return shared.Opened(size, _blocks(parts, events))


def _geometry(text):
    text = text.decode("latin-1") if isinstance(text, bytes) else text
    match = re.fullmatch(r"(\d{1,9})x(\d{1,9})", text) if isinstance(text, str) else None
    return {"height": int(match[2]), "width": int(match[1])} if match else {}


def member(h5py, name, group, key):
    """Return what a group has under a name, unless it is a link."""
    # A link elsewhere could make any file of this machine part of a recording.
    if not isinstance(group.get(key, getlink=True), h5py.HardLink):
        shared.reject(name, f"hold {key} itself", "a link")
    return group[key]


def checked(h5py, name, data, axes=1):
    """Return a dataset that holds its data itself, and no more than it can."""
    shape = getattr(data, "shape", None)
    if shape is None or len(shape) != axes:
        shared.reject(name, "have datasets of one axis", f"{data.name} with shape {shape}")
    if data.external or data.is_virtual:
        shared.reject(name, "hold its data itself", f"{data.name} with data in other files")
    size, stored = data.nbytes, data.id.get_storage_size()
    if size > stored * _MOST_BYTES_OF_ONE:
        shared.reject(name, f"hold the {size} bytes of {data.name}", f"{stored} bytes")
    _check_filters(h5py, name, data)
    return data


def _check_filters(h5py, name, data):
    made = data.id.get_create_plist()
    for place in range(made.get_nfilters()):
        number, _, _, called = made.get_filter(place)
        if not h5py.h5z.filter_avail(number):
            called = called.decode("latin-1")
            shared.reject(
                name,
                "be compressed by filters of HDF5 that are installed (hdf5plugin has many; that of "
                f"Metavision, {_ECF}, comes with Metavision alone: install it and name its folder "
                "in HDF5_PLUGIN_PATH, or take the RAW file that the recording was made from)",
                f"{data.name} with filter {number} {called!r}",
            )


def _blocks(parts, events):
    for start in range(0, max(map(len, parts)), events):
        yield tuple(part[start : start + events] for part in parts)


def _fields(data, names, events):
    for start in range(0, len(data), events):
        block = data[start : start + events]
        yield tuple(block[name] for name in names)


def _table(name, data, events):
    layout = tables.layout(name, lambda start, stop: data[start:stop], len(data))
    for start in range(0, len(data), events):
        yield tables.columns(data[start : start + events], layout)
