"""Folders as the makers of data sets publish them, without a folder for each class."""

import csv
import pathlib
import re
import warnings

import numpy as np

from keras_staa.data.formats import checking, order
from keras_staa.data.formats import contract as shared
from keras_staa.data.listing import Entry, Source, natural

# DVS128 Gesture numbers them from 1.
GESTURES = [
    "hand_clapping",
    "right_hand_wave",
    "left_hand_wave",
    "right_arm_clockwise",
    "right_arm_counter_clockwise",
    "left_arm_clockwise",
    "left_arm_counter_clockwise",
    "arm_roll",
    "air_drums",
    "air_guitar",
    "other_gestures",
]
_LISTS = {"train": "trials_to_train.txt", "test": "trials_to_test.txt"}
_LINE = ["class", "startTime_usec", "endTime_usec"]
# What tonic unpacks DVS128 Gesture to: a folder of each person and light, a file of each gesture.
_OF_TONIC = {"train": "ibmGestureTrain", "test": "ibmGestureTest"}
_PERSON, _NUMBER = re.compile(r"user\d+_\w+"), re.compile(r"\d+")
_SPOKEN = re.compile(r"(?:.*_)?(train|test|valid|validation)\.(?:h5|hdf5)", re.IGNORECASE)
_BLOCK = 2**17
_MOST_CLASSES = 10_000


class Parts:
    """Recordings that lie several in a file, each read when it is asked for.

    Args:
        name: string that stands for the data set in errors.
        read: function of a path and of what follows it in a place, which gives the events.
        places: list of tuples: the path, and which part of it.
        targets: list of labels.
    """

    def __init__(self, name, read, places, targets):
        self.name, self.read, self.places, self.targets = name, read, places, targets
        self.data = [path for path, *_ in places]

    def __len__(self):
        return len(self.places)

    def __getitem__(self, index):
        return self.read(*self.places[index]), self.targets[index]

    def __repr__(self):
        return self.name


def find_layout(folder):
    """Return the `Source` of a folder that has a layout of its own.

    - DVS128 Gesture as published: `.aedat` files, for each a `_labels.csv` with its trials, and
      `trials_to_train.txt` and `trials_to_test.txt` with the files of each split.
    - DVS128 Gesture as tonic unpacks it: `ibmGestureTrain/user01_fluorescent/0.npy`, where the name
      of the file is the label.
    - SHD and SSC: `shd_train.h5`, `shd_test.h5` (and `_valid`).

    Args:
        folder: a `pathlib.Path`.

    Returns:
        A `Source`, or None if the folder is none of these.

    Raises:
        ValueError: if the folder is one of these but its lists are not as they must be.
    """
    if any((folder / name).is_file() for name in _LISTS.values()):
        return _gestures(folder)
    below = [p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")]
    roots = {split: folder / name for split, name in _OF_TONIC.items()}
    roots = {split: root for split, root in roots.items() if root.is_dir()}
    if not roots and below and all(_PERSON.fullmatch(p.name) for p in below):
        roots = {"train": folder}
    if roots:
        return _gestures_of_tonic(folder, roots)
    files = {p: _SPOKEN.fullmatch(p.name) for p in folder.iterdir() if p.is_file()}
    files = {p: match[1].lower() for p, match in files.items() if match}
    return _spoken(folder, files) if files and not below else None


def _source(folder, classes, read, splits):
    """Return a `Source` of recordings, each (name, label, place)."""
    found, tables = {}, []
    for number, (split, parts) in enumerate(splits.items()):
        places, targets = [place for *_, place in parts], [label for _, label, _ in parts]
        tables.append(Parts(str(folder), read, places, targets))
        found[split] = [Entry(name, label, (number, i)) for i, (name, label, _) in enumerate(parts)]
    return Source(folder.resolve().name, classes, found, tables)


def _gestures(folder):
    splits, listed = {}, set()
    for split, name in _LISTS.items():
        path = folder / name
        names = path.read_text().split() if path.is_file() else []
        parts = []
        for name in sorted(names, key=natural):
            recording = folder / pathlib.PurePath(name).name
            if not recording.is_file():
                shared.reject(path, "list files of its folder", f"{name}, which is not there")
            listed.add(recording)
            for number, (label, start, end) in enumerate(_trials(recording)):
                where = f"{recording.name}#{number} {start}-{end}"
                parts.append((where, label, (str(recording), start, end)))
        if parts:
            splits[split] = parts
    if not splits:
        shared.reject(folder, f"hold files that {list(_LISTS.values())} list", "none")
    if others := sorted(set(folder.glob("*.aedat")) - listed):
        warnings.warn(
            f"{folder}: {len(others)} recordings are in none of {list(_LISTS.values())} and were "
            f"left out, such as {others[0].name}.",
            stacklevel=5,
        )
    source = _source(folder, GESTURES, trial, splits)
    source.sensor_size = (128, 128)
    return source


def _trials(recording):
    """(label, start, end) of each gesture of a file, in microseconds."""
    path = recording.with_name(f"{recording.stem}_labels.csv")
    if not path.is_file():
        shared.reject(recording, f"have its gestures listed in {path.name}", "no such file")
    with open(path, newline="", encoding="utf-8-sig", errors="replace") as file:
        rows = [[cell.strip() for cell in row] for row in csv.reader(file) if row]
    if not rows or rows[0] != _LINE:
        shared.reject(path, f"start with the line {','.join(_LINE)}", f"{rows[:1]}")
    found = []
    for row in rows[1:]:
        if len(row) != len(_LINE) or not all(re.fullmatch(r"\d{1,18}", cell) for cell in row):
            shared.reject(path, f"have three numbers a line, {','.join(_LINE)}", f"{row}")
        number, start, end = map(int, row)
        if not 1 <= number <= len(GESTURES) or not start < end:
            wanted = f"have classes from 1 to {len(GESTURES)} and end after the start"
            shared.reject(path, wanted, f"{row}")
        found.append((number - 1, start, end))
    return found


def trial(path, start, end):
    """Return the events of an AEDAT 3.1 recording from `start` to before `end`, in microseconds."""
    # Readers are imported when the first file of theirs is opened.
    from keras_staa.data.formats import aedat3

    source = aedat3.open_recording(path, _BLOCK, (start, end))
    blocks = checking.checked(path, source.blocks, source.sensor_size, source.fixed, source.bits)
    pieces = order.ordered(path, blocks, _BLOCK)
    pieces = [piece[(piece["t"] >= start) & (piece["t"] < end)] for piece in pieces]
    events = np.concatenate(pieces)
    if not len(events):
        shared.reject(path, f"have events from {start} to {end} us, as its labels say", "none")
    return events


def _gestures_of_tonic(folder, roots):
    splits = {}
    for split, root in roots.items():
        files = sorted(
            root.glob("*/*.npy"), key=lambda p: natural(p.relative_to(folder).as_posix())
        )
        for path in files:
            if not _NUMBER.fullmatch(path.stem) or int(path.stem) >= len(GESTURES):
                wanted = f"have the label as its name, 0 to {len(GESTURES) - 1}"
                shared.reject(path, wanted, f"{path.stem!r}")
        if not files:
            shared.reject(root, "hold folders of .npy files", "none")
        splits[split] = [
            Entry(p.relative_to(folder).as_posix(), int(p.stem), str(p)) for p in files
        ]
    return Source(folder.resolve().name, GESTURES, splits, sensor_size=(128, 128))


def spoken(path, part):
    """Return the events of one recording of SHD or SSC."""
    from keras_staa.data.formats import shd

    return shd.read(path, part)


def _spoken(folder, files):
    from keras_staa.data.formats import shd

    splits, most = {}, 0
    for path, split in sorted(files.items(), key=lambda pair: natural(pair[0].name)):
        split = "validation" if split == "valid" else split
        if split in splits:
            shared.reject(folder, "hold one file per split", f"{path.name} beside another")
        labels = shd.labels(str(path))
        if not labels or not 0 <= min(labels) <= max(labels) < _MOST_CLASSES:
            wanted = f"have labels in [0, {_MOST_CLASSES})"
            shared.reject(path, wanted, f"{min(labels)} to {max(labels)}" if labels else "none")
        most = max(most, *labels)
        splits[split] = [
            (f"{path.name}#{i}", label, (str(path), i)) for i, label in enumerate(labels)
        ]
    splits = {split: splits[split] for split in ("train", "validation", "test") if split in splits}
    source = _source(folder, [str(i) for i in range(most + 1)], spoken, splits)
    source.sensor_size = shd.SENSOR_SIZE
    return source
