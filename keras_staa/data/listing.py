"""Samples of a data set before they are read: their classes, splits and order."""

import dataclasses
import re

NAMES_OF_SPLITS = ("train", "validation", "test")
_SPLIT = re.compile(r"(\w+)(?:\[(\d+%?)?:(\d+%?)?\])?")


@dataclasses.dataclass
class Entry:
    """A sample that is not yet read, such as a recording or a picture.

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
    """A data set of samples in files.

    Attributes:
        name: string.
        classes: list of strings, in the order of the labels.
        splits: dictionary of lists of `Entry`, each class in its fixed order.
        tables: list of the tonic data sets that addresses point to.
        sensor_size: None or the (height, width) that is known without reading.
        what: string, what its samples are called in errors.
    """

    name: str
    classes: list
    splits: dict
    tables: list = dataclasses.field(default_factory=list)
    sensor_size: tuple | None = None
    what: str = "recordings"

    def all(self):
        """Return the samples of all splits, each once."""
        found = {id(r): r for split in self.splits.values() for r in split}
        return list(found.values())


def select(source, split):
    """Return the samples of a split.

    Args:
        source: a `Source`.
        split: string: a split's name or `"all"`, with a slice as in `"train[:90%]"`, which takes
            that part of each class, in the order of the class.

    Returns:
        A list of `Entry`, sorted by class.

    Raises:
        ValueError: if there is no such split, or it leaves a class without a sample.
    """
    allowed = list(dict.fromkeys([*source.splits, "all"]))
    chosen, part = part_of(split, allowed, source.name, of_each=" of each class")
    samples = source.all() if chosen == "all" else source.splits[chosen]
    classes = [[r for r in samples if r.label == k] for k in range(len(source.classes))]
    selected = []
    for name, members in zip(source.classes, classes, strict=True):
        taken = members[part(len(members))]
        if members and not taken:
            raise ValueError(
                f"`split` must leave {source.what} of each class. Received: split={split!r}, with "
                f"{len(members)} {source.what} of the class {name!r} in {source.name}"
            )
        selected += taken
    return selected


def part_of(split, allowed, where, of_each=""):
    """Return the name of a split, and which part of it is asked for.

    Args:
        split: string: a name, or a slice as in `"train[:90%]"`.
        allowed: list of the names that there are.
        where: string or path, the data set in errors.
        of_each: string, what a slice is of.

    Returns:
        The name, and a function from a number of samples to a `slice`.

    Raises:
        ValueError: if there is no such split.
    """
    match = _SPLIT.fullmatch(split) if isinstance(split, str) else None
    if not match or match[1] not in allowed:
        hint = ""
        if match and match[1] in NAMES_OF_SPLITS and "all" in allowed:
            hint = " (divide it yourself, as in 'all[:90%]' and 'all[90%:]')"
        raise ValueError(
            f"`split` must be one of {allowed} of {where}, with or without a slice{of_each} "
            f"as in 'train[:90%]'{hint}. Received: split={split!r}"
        )
    return match[1], lambda count: slice(_place(match[2], count, 0), _place(match[3], count, None))


def _place(text, count, default):
    if text is None:
        return default
    # Floor at both ends, so that 'train[:p%]' and 'train[p%:]' are the whole.
    return count * int(text[:-1]) // 100 if text.endswith("%") else int(text)


def natural(text):
    """Return a key that sorts 2 before 10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", text)]
