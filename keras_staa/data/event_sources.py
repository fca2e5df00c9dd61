"""Where recordings come from: a folder, a data set of tonic, or one that tonic downloads."""

import os
import pathlib

from keras_staa.data import event_folders
from keras_staa.data.event_recordings import Recording, Source, natural, path_of, select

# Classes of `tonic.datasets`; whether they have a training and a test set; and what tonic does not
# say of the sensor, (height, width).
NAMES = {
    "cifar10_dvs": ("CIFAR10DVS", False, None),
    "dvs128_gesture": ("DVSGesture", True, None),
    "nmnist": ("NMNIST", True, None),
    "ncaltech101": ("NCALTECH101", False, (180, 240)),
    "asl_dvs": ("ASLDVS", False, None),
}
# CIFAR10-DVS has no official split; the literature trains on the first nine tenths of each class.
_NINE_TENTHS = {"CIFAR10DVS"}


def find(source, data_dir):
    """The `Source` that the argument `source` of `events` stands for."""
    if isinstance(source, str) and source in NAMES:
        return _of_name(source, data_dir)
    if isinstance(source, (str, os.PathLike)):
        folder = pathlib.Path(source).expanduser()
        if not folder.is_dir():
            raise ValueError(
                f"`source` must be one of {list(NAMES)}, a data set of tonic, or a folder that "
                f"exists. Received: source={os.fspath(source)!r}"
            )
        return event_folders.find(folder)
    if not all(hasattr(source, name) for name in ("__getitem__", "__len__", "targets")):
        raise ValueError(
            f"`source` must be one of {list(NAMES)}, a data set of tonic (with `targets`), or a "
            f"folder. Received: source={source!r}"
        )
    return _of_tonic(type(source).__name__, {"all": source}, None)


def _of_name(name, data_dir):
    try:
        import tonic
    except ImportError as error:
        raise ImportError(
            f"`source={name!r}` is downloaded and read with tonic, which could not be imported "
            f"({error}). Install it with `pip install keras-staa[events]`."
        ) from error
    kind, divided, size = NAMES[name]
    kind = getattr(tonic.datasets, kind)
    where = os.fspath(data_dir or pathlib.Path.home() / ".cache" / "keras-staa" / "tonic")
    if divided:
        tables = {split: kind(save_to=where, train=split == "train") for split in ("train", "test")}
    else:
        tables = {"all": kind(save_to=where)}
    return _of_tonic(name, tables, size)


def _of_tonic(name, tables, sensor_size):
    objects = list(tables.values())
    targets = [_targets(table) for table in objects]
    classes = _classes(objects[0], targets)
    splits = {}
    for number, (split, table) in enumerate(tables.items()):
        recordings = []
        for index, target in enumerate(targets[number]):
            path = path_of(table, index)
            root = getattr(table, "location_on_system", os.sep)
            where = os.path.relpath(path, root) if path else f"{index}"
            label = classes.index(target) if isinstance(target, str) else int(target)
            recordings.append(Recording(pathlib.Path(where).as_posix(), label, (number, index)))
        # tonic lists files as the disk has them.
        splits[split] = sorted(recordings, key=lambda r: (r.label, natural(r.name)))
    if type(objects[0]).__name__ in _NINE_TENTHS:
        source = Source(name, classes, splits)
        train, test = select(source, "all[:90%]"), select(source, "all[90%:]")
        splits = {"train": train, "test": test}
    if sensor_size is None and getattr(objects[0], "sensor_size", None):
        width, height = objects[0].sensor_size[:2]
        sensor_size = (int(height), int(width))
    return Source(name, [str(c) for c in classes], splits, objects, sensor_size)


def _targets(table):
    targets = [t if isinstance(t, str) else int(t) for t in table.targets]
    if not targets or len(targets) != len(table):
        raise ValueError(
            "`source` must have recordings and a target for each. Received: source="
            f"{table!r} with {len(table)} recordings and {len(targets)} targets"
        )
    return targets


def _classes(table, targets):
    """Names of the classes in the order of the labels."""
    found = sorted({t for each in targets for t in each})
    classes = getattr(table, "classes", None)
    if isinstance(found[0], str):
        return found
    if isinstance(classes, dict):
        classes = sorted(classes, key=classes.get)
    return list(classes) if classes else list(range(found[-1] + 1))
