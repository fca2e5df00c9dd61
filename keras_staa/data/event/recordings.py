"""Recordings of a data set, their splits and their fingerprints."""

import concurrent.futures
import dataclasses
import hashlib
import os
import re

NAMES_OF_SPLITS = ("train", "validation", "test")
_SPLIT = re.compile(r"(\w+)(?:\[(\d+%?)?:(\d+%?)?\])?")
# Files up to this size are read as a whole for their digest, of others three pieces as large.
_WHOLE = 2**16


@dataclasses.dataclass
class Entry:
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
        splits: dictionary of lists of `Entry`, each class in its fixed order.
        tables: list of the tonic data sets that addresses point to.
        sensor_size: None or the (height, width) that is known without reading.
    """

    name: str
    classes: list
    splits: dict
    tables: list = dataclasses.field(default_factory=list)
    sensor_size: tuple | None = None

    def all(self):
        """Return the recordings of all splits, each once."""
        found = {id(r): r for split in self.splits.values() for r in split}
        return list(found.values())


def select(source, split):
    """Return the recordings of a split.

    Args:
        source: a `Source`.
        split: string: a split's name or `"all"`, with a slice as in `"train[:90%]"`, which takes
            that part of each class, in the order of the class.

    Returns:
        A list of `Entry`, sorted by class.

    Raises:
        ValueError: if there is no such split, or it leaves a class without a recording.
    """
    match = _SPLIT.fullmatch(split) if isinstance(split, str) else None
    if not match or match[1] not in (*source.splits, "all"):
        allowed = f"one of {list(dict.fromkeys([*source.splits, 'all']))}"
        hint = ""
        if match and match[1] in NAMES_OF_SPLITS:
            hint = " (divide it yourself, as in 'all[:90%]' and 'all[90%:]')"
        raise ValueError(
            f"`split` must be {allowed} of {source.name}, with or without a slice of each class "
            f"as in 'train[:90%]'{hint}. Received: split={split!r}"
        )
    recordings = source.all() if match[1] == "all" else source.splits[match[1]]
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
        recordings: list of `Entry`.

    Returns:
        String of 64 hexadecimal digits. The order of the recordings and their labels count.
    """

    def read(part):
        for recording in part:
            recording.digest = recording.digest or _digest(source, recording)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(read, (recordings[i : i + 256] for i in range(0, len(recordings), 256))))
    lines = "".join(f"{r.digest} {source.classes[r.label]}\n" for r in recordings)
    return hashlib.sha256(lines.encode()).hexdigest()


def _digest(source, recording):
    text = hashlib.sha256(recording.name.encode() + b"\0")
    path = recording.address
    if not isinstance(path, str):
        table, index = path
        text.update(_options(source.tables[table]).encode())
        path = path_of(source.tables[table], index)
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
    """Return what a data set of tonic does with its files, such as to read a part of each."""
    plain = (bool, int, float, type(None))
    told = {
        name: repr(value)
        for name, value in sorted(vars(table).items())
        if isinstance(value, plain) or "transform" in name
    }
    return f"{type(table).__name__} {told}"


def path_of(table, index):
    data = getattr(table, "data", None)
    path = data[index] if isinstance(data, list) and index < len(data) else None
    return path if isinstance(path, (str, os.PathLike)) and os.path.isfile(path) else None


def natural(text):
    """Sorts 2 before 10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", text)]
