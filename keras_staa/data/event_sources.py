"""Where recordings come from: a folder, a data set of tonic, or one that tonic downloads."""

import concurrent.futures
import dataclasses
import hashlib
import os
import pathlib
import re
import warnings

from keras_staa.data import formats

# Classes of `tonic.datasets`; whether they have a training and a test set; and what tonic does not
# say of the sensor, (height, width).
NAMES = {
    "cifar10_dvs": ("CIFAR10DVS", False, None),
    "dvs128_gesture": ("DVSGesture", True, None),
    "nmnist": ("NMNIST", True, None),
    "ncaltech101": ("NCALTECH101", False, (180, 240)),
    "asl_dvs": ("ASLDVS", False, None),
}
_SPLITS = ("train", "validation", "test")
# CIFAR10-DVS has no official split; the literature trains on the first nine tenths of each class.
_NINE_TENTHS = {"CIFAR10DVS"}
_SPLIT = re.compile(r"(\w+)(?:\[(\d+%?)?:(\d+%?)?\])?")
# Files up to this size are read as a whole for their digest, of others three pieces as large.
_WHOLE = 2**16


@dataclasses.dataclass
class Recording:
    """A recording that is not yet read.

    Attributes:
        name: string, the same wherever the data set lies.
        label: integer.
        address: path of the file, or (which of the source's tables, index in it).
        digest: string, of the name and the contents; None until `digest` made it.
    """

    name: str
    label: int
    address: object
    digest: str | None = None


@dataclasses.dataclass
class Source:
    """A data set of recordings.

    Attributes:
        name: string.
        classes: list of strings, in the order of the labels.
        splits: dictionary of lists of `Recording`, each class in its fixed order.
        tables: list of the tonic data sets that addresses point to.
        sensor_size: None or the (height, width) that is known without reading.
    """

    name: str
    classes: list
    splits: dict
    tables: list = dataclasses.field(default_factory=list)
    sensor_size: tuple | None = None

    def all(self):
        """The recordings of all splits, each once."""
        found = {id(r): r for split in self.splits.values() for r in split}
        return list(found.values())


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
        return _of_folder(folder)
    if not all(hasattr(source, name) for name in ("__getitem__", "__len__", "targets")):
        raise ValueError(
            f"`source` must be one of {list(NAMES)}, a data set of tonic (with `targets`), or a "
            f"folder. Received: source={source!r}"
        )
    return _of_tonic(type(source).__name__, {"all": source}, None)


def select(source, split):
    """The recordings of a split.

    Args:
        source: a `Source`.
        split: string: a split's name or `"all"`, with a slice as in `"train[:90%]"`, which takes
            that part of each class, in the order of the class.

    Returns:
        A list of `Recording`, sorted by class.

    Raises:
        ValueError: if there is no such split, or it leaves a class without a recording.
    """
    match = _SPLIT.fullmatch(split) if isinstance(split, str) else None
    if not match or match[1] not in (*source.splits, "all"):
        allowed = f"one of {list(dict.fromkeys([*source.splits, 'all']))}"
        hint = ""
        if match and match[1] in _SPLITS:
            hint = " (divide it yourself, as in 'all[:90%]' and 'all[90%:]')"
        raise ValueError(
            f"`split` must be {allowed} of {source.name}, with or without a slice of each class "
            f"as in 'train[:90%]'{hint}. Received: split={split!r}"
        )
    recordings = source.splits.get(match[1]) or source.all()
    classes = [[r for r in recordings if r.label == k] for k in range(len(source.classes))]
    selected = []
    for name, members in zip(source.classes, classes, strict=True):
        part = members[_place(match[2], len(members), 0) : _place(match[3], len(members), None)]
        if members and not part:
            raise ValueError(
                f"`split` must leave recordings of each class. Received: split={split!r}, with "
                f"{len(members)} recordings of the class {name!r} in {source.name}"
            )
        selected += part
    return selected


def _place(text, count, default):
    if text is None:
        return default
    # Floor at both ends, so that 'train[:p%]' and 'train[p%:]' are the whole.
    return count * int(text[:-1]) // 100 if text.endswith("%") else int(text)


def digest(source, recordings):
    """Give recordings their digests and return that of them all.

    That of a file is of its name within the data set, its size, and its contents: all of them up
    to 64 KiB, else that much of its beginning, middle and end, since reading gigabytes would take
    as long as using them. Neither the place of the data set nor the times of its files count, so
    that a copy has the same.

    Args:
        source: a `Source`.
        recordings: list of `Recording`.

    Returns:
        String of 64 hexadecimal digits. The order of the recordings and their labels count.
    """
    missing = [r for r in recordings if r.digest is None]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda r: _digest(source, r), missing, chunksize=64)
        for recording, text in zip(missing, found, strict=True):
            recording.digest = text
    lines = "".join(f"{r.digest} {source.classes[r.label]}\n" for r in recordings)
    return hashlib.sha256(lines.encode()).hexdigest()


def _digest(source, recording):
    text = hashlib.sha256(recording.name.encode() + b"\0")
    path = recording.address
    if not isinstance(path, str):
        table, index = path
        text.update(_options(source.tables[table]).encode())
        path = _path(source.tables[table], index)
    if path is None:
        # Nothing but the events says what an object in memory holds.
        data = source.tables[table][index][0]
        text.update(f"{getattr(data, 'dtype', type(data))}".encode())
        text.update(data.tobytes() if hasattr(data, "tobytes") else repr(data).encode())
        return text.hexdigest()[:32]
    size = os.path.getsize(path)
    text.update(f"{size}\0".encode())
    with open(path, "rb") as file:
        for place in (0,) if size <= _WHOLE else (0, size // 2, size - _WHOLE):
            file.seek(place)
            text.update(file.read(_WHOLE))
    return text.hexdigest()[:32]


def _options(table):
    """What a data set of tonic was told to do with its files, such as to read a part of each."""
    plain = (bool, int, float, type(None))
    told = {
        name: repr(value)
        for name, value in sorted(vars(table).items())
        if isinstance(value, plain) or "transform" in name
    }
    return f"{type(table).__name__} {told}"


def _natural(text):
    """Sorts 2 before 10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", text)]


def _subfolders(folder):
    found = [p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")]
    return sorted(found, key=lambda p: _natural(p.name))


def _of_folder(folder):
    below = _subfolders(folder)
    parts = {p.name.lower(): p for p in below if p.name.lower() in _SPLITS}
    if "train" not in parts:
        parts = {"train": folder}
    found = {split: _subfolders(parts[split]) for split in _SPLITS if split in parts}
    classes = sorted({p.name for members in found.values() for p in members}, key=_natural)
    for split, members in found.items():
        if not members:
            raise ValueError(
                "`source` must hold a folder for each class. Received: source="
                f"{str(parts[split])!r}, without any"
            )
    others, splits = [], {}
    for split, members in found.items():
        splits[split] = []
        for member in members:
            files = [p for p in member.rglob("*") if p.is_file() and not p.name.startswith(".")]
            files = [p for p in files if p.suffix.lower() in formats.FORMATS or others.append(p)]
            if not files:
                raise ValueError(
                    f"`source` must hold recordings ({', '.join(formats.FORMATS)}) in each folder "
                    f"of a class. Received: none in {str(member)!r}"
                )
            files.sort(key=lambda p: _natural(p.relative_to(folder).as_posix()))
            label = classes.index(member.name)
            splits[split] += [
                Recording(p.relative_to(folder).as_posix(), label, str(p)) for p in files
            ]
    if others:
        warnings.warn(
            f"{folder}: {len(others)} files are no recordings and were left out, such as "
            f"{others[0]}; recordings end with {', '.join(formats.FORMATS)}.",
            stacklevel=4,
        )
    return Source(folder.resolve().name, classes, splits)


def _of_name(name, data_dir):
    try:
        import tonic
    except ImportError as error:
        raise ImportError(
            f"`source={name!r}` is downloaded and read with tonic, which could not be imported "
            f"({error}). Install it with `pip install keras-staa[data]`."
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
            path = _path(table, index)
            root = getattr(table, "location_on_system", os.sep)
            where = os.path.relpath(path, root) if path else f"{index}"
            label = classes.index(target) if isinstance(target, str) else int(target)
            recordings.append(Recording(pathlib.Path(where).as_posix(), label, (number, index)))
        # tonic lists files as the disk has them.
        splits[split] = sorted(recordings, key=lambda r: (r.label, _natural(r.name)))
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


def _path(table, index):
    data = getattr(table, "data", None)
    path = data[index] if isinstance(data, list) and index < len(data) else None
    return path if isinstance(path, (str, os.PathLike)) and os.path.isfile(path) else None
