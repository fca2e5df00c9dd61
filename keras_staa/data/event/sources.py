"""Where recordings come from: a folder, a data set of tonic, or one that tonic downloads."""

import os
import pathlib

import numpy as np

from keras_staa.data.event.layouts import find_layout
from keras_staa.data.event.recordings import path_of
from keras_staa.data.folders import find_folders
from keras_staa.data.formats import FORMATS
from keras_staa.data.listing import Entry, Source, natural, select

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
# Of data sets that do not say their classes.
_MOST_CLASSES = 2**16


def find_source(source, data_dir):
    """Return the `Source` that the argument `source` of `events` stands for."""
    if isinstance(source, str) and source in NAMES:
        where = pathlib.Path(data_dir or "~/.cache/keras-staa/tonic").expanduser()
        _refuse_folder_of(source, where)
        return _of_name(source, where)
    if isinstance(source, (str, os.PathLike)):
        folder = pathlib.Path(source).expanduser()
        if not folder.is_dir():
            raise ValueError(
                f"`source` must be one of {list(NAMES)}, a data set of tonic, or a folder that "
                f"exists. Received: source={os.fspath(source)!r}"
            )
        return find_layout(folder) or find_folders(folder, FORMATS)
    if not all(hasattr(source, name) for name in ("__getitem__", "__len__", "targets")):
        raise ValueError(
            f"`source` must be one of {list(NAMES)}, a data set of tonic (with `targets`), or a "
            f"folder. Received: source={source!r}"
        )
    return _of_tonic(type(source).__name__, {"all": source}, None)


def _refuse_folder_of(name, data_dir):
    """Refuse a name that is a folder too: one of them would be read without a word."""
    folder, own = pathlib.Path(name).absolute(), data_dir / NAMES[name][0]
    # tonic's own lies here where file names have no case.
    if folder.is_dir() and not (own.is_dir() and own.samefile(folder)):
        raise ValueError(
            f"`source` must be a name or a folder. Received: source={name!r}, which is both the "
            f"name of a data set that tonic downloads and the folder {str(folder)!r}. Give "
            f"{os.path.join(os.curdir, name)!r} for the folder; to read the data set, give the "
            "folder another name"
        )


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
    where = os.fspath(data_dir)
    parts = {"train": {"train": True}, "test": {"train": False}} if divided else {"all": {}}
    try:
        tables = {split: kind(save_to=where, **options) for split, options in parts.items()}
    except OSError as error:
        raise OSError(
            f"The data set {name!r} is not in data_dir={where!r} and could not be downloaded there "
            f"({error})."
        ) from error
    return _of_tonic(name, tables, size)


def _of_tonic(name, tables, sensor_size):
    objects = list(tables.values())
    classes, labels = _labels(objects)
    splits = {}
    for number, (split, table) in enumerate(tables.items()):
        recordings = []
        for index, label in enumerate(labels[number]):
            path = path_of(table, index)
            root = getattr(table, "location_on_system", os.sep)
            where = os.path.relpath(path, root) if path else f"{index}"
            recordings.append(Entry(pathlib.Path(where).as_posix(), label, (number, index)))
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


def _labels(tables):
    """Return the classes, and the labels of each data set's recordings."""
    classes = _classes(tables[0])
    most = _MOST_CLASSES if classes is None else len(classes)
    targets = []
    for table in tables:
        try:
            given = list(table.targets)
        except TypeError:
            given = []
        if not given or len(given) != len(table):
            _refuse(table, most, f"{len(given)} targets for {len(table)} recordings")
        targets.append([_plain(target) for target in given])
        named = isinstance(targets[0][0], str)
        known = range(most) if not named else classes and set(classes)
        for index, target in enumerate(targets[-1]):
            right = isinstance(target, str if named else int)
            if not right or (known is not None and target not in known):
                _refuse(table, most, f"targets[{index}]={given[index]!r}")
    found = sorted({target for each in targets for target in each})
    if isinstance(found[0], int):
        return classes or list(range(found[-1] + 1)), targets
    places = {name: place for place, name in enumerate(classes or found)}
    return list(places), [[places[target] for target in each] for each in targets]


def _refuse(table, most, found):
    raise ValueError(
        f"`source` must have `targets`, one for each recording: integers in [0, {most}), or "
        f"strings, which are names of its `classes` where it has them. Received: source="
        f"{type(table).__name__} with {found}"
    )


def _plain(target):
    """Return an integer or a string of any library as one of Python; None for all else."""
    if isinstance(target, str):
        return str(target)
    try:
        array = np.asarray(target)
    except (TypeError, ValueError, RuntimeError):  # Such as a tensor on a GPU.
        return None
    if array.ndim or array.dtype.kind not in "biuU":
        return None
    return str(array) if array.dtype.kind == "U" else int(array)


def _classes(table):
    """Return the names of the classes in the order of the labels, or None if they are not said."""
    classes = getattr(table, "classes", None)
    if classes is None or (hasattr(classes, "__len__") and not len(classes)):
        return None
    names = None
    if isinstance(classes, dict):
        if {_plain(label) for label in classes.values()} == set(range(len(classes))):
            names = sorted(classes, key=classes.get)
    elif isinstance(classes, (list, tuple, np.ndarray)):
        names = list(classes)
    if names is None or len(set(names)) < len(names):
        raise ValueError(
            "`classes` of `source` must be a list of different names or a dictionary from each "
            f"name to its label, from 0 to the number of classes minus 1. Received: source="
            f"{type(table).__name__} with classes={classes!r}"
        )
    return names
