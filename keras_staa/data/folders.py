"""Samples in folders: one folder per class, which may be in one folder per split."""

import os
import pathlib
import re
import typing
import warnings

from keras_staa.data.listing import NAMES_OF_SPLITS, Entry, Source, natural

# What folders of splits are called, alone or at either end of a name, as in `n-cars_train`.
_SPLITS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
# Made by systems and programs, as hidden ones are.
_NO_DATA = {"__MACOSX", "__pycache__", "@eaDir"}


def find_folders(folder, suffixes, what="recordings"):
    """Return the `Source` that a folder is.

    A path below the folder is a tuple of names here.

    Args:
        folder: path of a folder with a folder for each class, or with one for each split that has
            those of the classes in it. The samples of a class may lie in folders below it. Hidden
            files and folders do not count; links are followed.
        suffixes: how the names of samples end, in lower case, such as `".png"`.
        what: string, what samples are called in errors.

    Returns:
        A `Source` with the splits of the folder, or `"train"` alone.

    Raises:
        ValueError: if it cannot be told which folders are classes and which are splits, a class or
            a split is empty, or a link leads nowhere or in a circle.
    """
    folders, files = _walk(folder)
    kind = _Kind(tuple(suffixes), what)
    recordings = [path for path in files if kind.has(path)]
    tops = _folders_of_splits(folder, folders, recordings) or {"train": ()}
    members = {
        split: _classes(folder, top, folders, recordings, kind) for split, top in tops.items()
    }
    _check_levels(folder, members, recordings, kind)
    _compare(folder, tops, members)
    _warn_of_the_rest(folder, members, files, kind)

    names = {path[-1] for paths in members.values() for path in paths}
    classes = sorted(names, key=natural)
    splits = {}
    for split, paths in members.items():
        splits[split] = [
            Entry("/".join(path), classes.index(top[-1]), str(folder.joinpath(*path)))
            for top, inside in _inside(paths, recordings).items()
            for path in sorted(inside, key=lambda path: natural("/".join(path)))
        ]
    return Source(folder.resolve().name, classes, splits, what=what)


class _Kind(typing.NamedTuple):
    """How the names of samples end, and what samples are called."""

    suffixes: tuple
    what: str

    def has(self, path):
        return pathlib.PurePath(path[-1]).suffix.lower() in self.suffixes


def _walk(folder):
    """Return the folders and the files below a folder, all but hidden ones."""
    folders, files = [], []

    def enter(path, above):
        here = os.stat(folder.joinpath(*path))
        above = above | {(here.st_dev, here.st_ino)}
        for entry in os.scandir(folder.joinpath(*path)):
            if entry.name.startswith(".") or entry.name in _NO_DATA:
                continue
            below = (*path, entry.name)
            if entry.is_symlink():
                if not os.path.exists(entry.path):
                    _reject(folder, f"where {entry.path!r} leads nowhere", "no broken links")
                there = os.stat(entry.path)
                if (there.st_dev, there.st_ino) in above:
                    found = f"where {entry.path!r} leads to a folder that it lies in"
                    _reject(folder, found, "no links in a circle")
            if entry.is_dir():
                folders.append(below)
                enter(below, above)
            else:
                files.append(below)

    enter((), frozenset())
    return folders, files


def _reject(folder, found, wanted="a folder for each class"):
    raise ValueError(f"`source` must hold {wanted}. Received: source={str(folder)!r}, {found}")


def _inside(tops, paths):
    """Return the paths below each of some folders."""
    found = {top: [] for top in tops}
    for path in paths:
        for depth in (1, 2):
            if len(path) > depth and path[:depth] in found:
                found[path[:depth]].append(path)
    return found


def _folders_of_splits(folder, folders, recordings):
    """Return the folder of each split, in the order of `NAMES_OF_SPLITS`; {} if there is none."""
    below = [path for path in folders if len(path) == 1]
    inside = _inside(below, recordings)
    named = _named_like_splits([path[0] for path in below])
    others = [name for (name,), found in inside.items() if found and name not in named]
    deep = any(len(path) > 2 for name in named for path in inside[(name,)])
    if not named or (others and len(named) == 1 and not deep):
        return {}  # Something may be called "train", such as a vehicle.
    if others:
        _reject(
            folder,
            f"where {sorted(named)} lie beside {sorted(others)}",
            f"folders of splits ({', '.join(_SPLITS)}) or of classes, not both",
        )
    tops = {}
    for name, split in sorted(named.items()):
        if split in tops:
            _reject(folder, f"with {tops[split][0]!r} and {name!r}", "one folder for each split")
        tops[split] = (name,)
    return {split: tops[split] for split in NAMES_OF_SPLITS if split in tops}


def _named_like_splits(names):
    """Those of the names that are of splits, and of which."""
    parts = {}
    for name in names:
        # At other characters than letters and digits, and before capitals.
        words = re.split(r"[\W_]+|(?<=[a-z0-9])(?=[A-Z])", name)
        lower = [word.lower() for word in words]
        for place in (-1, 0):
            if lower[place] in _SPLITS:
                del words[place]
                rest = "_".join(words).lower()
                parts.setdefault(rest, {})[name] = _SPLITS[lower[place]]
                break
    # "bullet_train" alone is none.
    found = [part for rest, part in parts.items() if rest == "" or len(set(part.values())) > 1]
    return {name: split for part in found for name, split in part.items()}


def _classes(folder, top, folders, recordings, kind):
    """Return the folders of classes in that of a split."""
    found = [path for path in folders if path[:-1] == top]
    if not found:
        _reject(folder.joinpath(*top), "without any")
    for path, inside in _inside(found, recordings).items():
        if not inside:
            _reject(
                folder,
                f"none in {str(folder.joinpath(*path))!r}",
                f"{kind.what} ({', '.join(kind.suffixes)}) in each folder of a class",
            )
    return sorted(found, key=lambda path: natural(path[-1]))


def _check_levels(folder, members, recordings, kind):
    """See that the folders taken for those of classes are not of data sets or splits."""
    paths = [path for split in members.values() for path in split]
    depth, names = len(paths[0]), sorted({path[-1] for path in paths}, key=natural)
    inside, subfolders = _inside(paths, recordings), {}
    for top, found in inside.items():
        subfolders[top] = sorted({path[depth] for path in found if len(path) > depth + 1})
        if named := _named_like_splits(subfolders[top]):
            _reject(
                folder,
                f"with {sorted(named)} in {str(folder.joinpath(*top))!r}",
                "folders of splits above those of classes; for one of several data sets give its "
                "own folder",
            )
    if any(len(path) == depth + 1 for found in inside.values() for path in found):
        return
    if len(names) == 1:
        _reject(
            folder,
            f"with {names[0]!r} alone, whose {kind.what} lie in folders below it; give "
            f"{str(folder.joinpath(*paths[0]))!r} if these are of classes",
        )
    if all(len(found) > 1 for found in subfolders.values()):
        warnings.warn(
            f"{folder}: the classes are taken to be {names}, whose {kind.what} lie in folders "
            f"below them. If these are of classes, give one of {names} as `source`.",
            stacklevel=5,
        )


def _compare(folder, tops, members):
    """See that what is measured on can have been learned."""
    names = {split: {path[-1] for path in paths} for split, paths in members.items()}
    for split in names:
        strange = sorted(names[split] - names.get("train", names[split]), key=natural)
        if not strange:
            continue
        found = f"{tops[split][0]!r} has {strange}, which {tops['train'][0]!r} has not"
        if len(strange) == len(names[split]):
            _reject(folder, f"where {found}", "the same classes in each split")
        warnings.warn(f"{folder}: {found}.", stacklevel=5)


def _warn_of_the_rest(folder, members, files, kind):
    """Say what is left out."""
    paths = [path for split in members.values() for path in split]
    inside = {path for found in _inside(paths, files).values() for path in found}
    others = sorted(path for path in inside if not kind.has(path))
    if others:
        warnings.warn(
            f"{folder}: {len(others)} files are no {kind.what} and were left out, such as "
            f"{folder.joinpath(*others[0])}; {kind.what} end with {', '.join(kind.suffixes)}.",
            stacklevel=5,
        )
    outside = sorted(path for path in files if path not in inside and kind.has(path))
    if outside:
        warnings.warn(
            f"{folder}: {len(outside)} {kind.what} lie in no folder of a class and were left out, "
            f"such as {folder.joinpath(*outside[0])}.",
            stacklevel=5,
        )
