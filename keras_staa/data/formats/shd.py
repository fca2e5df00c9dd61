"""Spoken digits and words as spikes of 700 channels (SHD and SSC): many recordings in a file.

A channel has a place and no polarity: x is the channel, y is 0, and each spike is an ON event.
"""

import numpy as np

from keras_staa.data.formats import contract as shared
from keras_staa.data.formats import h5, process

SENSOR_SIZE = (1, 700)


def labels(path):
    """Return the label of each recording of a file, as integers.

    Raises:
        ValueError: if the file is damaged or has no recordings of this kind.
    """
    blocks = list(process.open_recording("shd", path, 1, part=None).blocks)
    return [int(label) for (block,) in blocks for label in block]


def read(path, part):
    """Return the events of one recording of a file, sorted by time.

    Args:
        path: path of the file.
        part: its index in the file.

    Returns:
        Structured array of `DTYPE`.

    Raises:
        ValueError: if the file is damaged or the recording has no spikes.
    """
    # To the end, so that the process goes on to the next recording.
    ((x, y, t, p),) = process.open_recording("shd", path, 1, part=part).blocks
    events = np.empty(len(x), shared.DTYPE)
    events["x"], events["y"], events["t"], events["p"] = x, y, t, p
    return events


def parse(path, name, events, part):
    """As `source` of other formats, but in this process: one recording, or without `part` labels.

    Args:
        path: path of the file.
        name: what errors call the file.
        events: ignored, a recording is short.
        part: None or the index of the recording.
    """
    import h5py

    file = h5py.File(path, "r", locking=False)
    if "spikes" not in file or "labels" not in file:
        shared.reject(name, "have the groups and datasets spikes and labels", f"{list(file)}")
    spikes = h5.member(h5py, name, file, "spikes")
    found = [h5.member(h5py, name, file, "labels")]
    found += [h5.member(h5py, name, spikes, key) for key in ("times", "units") if key in spikes]
    found = [h5.checked(h5py, name, data) for data in found]
    if len(found) != 3 or len({len(data) for data in found}) != 1:
        wanted = "have as many labels as spikes/times and spikes/units"
        shared.reject(name, wanted, f"{[(data.name, len(data)) for data in found]}")
    all_labels, times, units = found
    if part is None:
        return shared.Opened(SENSOR_SIZE, iter([(all_labels[:],)]))
    seconds, channels = np.asarray(times[part], np.float64), np.asarray(units[part])
    if seconds.shape != channels.shape or channels.dtype.kind not in "iu":
        shared.reject(name, "have a channel for each time", f"another shape in recording {part}")
    if not len(seconds) or not np.isfinite(seconds).all():
        shared.reject(name, "have spikes with times", f"none or infinite in recording {part}")
    if channels.min() < 0 or channels.max() >= SENSOR_SIZE[1]:
        wanted = f"have channels in [0, {SENSOR_SIZE[1] - 1}]"
        shared.reject(name, wanted, f"{channels.min()} to {channels.max()} in recording {part}")
    # Spikes of a model, not of a camera's clock: any order is one.
    order = np.argsort(seconds, kind="stable")
    x, t = channels[order].astype(np.int64), np.round(seconds[order] * 1e6)
    return shared.Opened(SENSOR_SIZE, iter([(x, np.zeros_like(x), t, np.ones_like(x))]))
