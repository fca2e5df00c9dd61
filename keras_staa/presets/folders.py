"""Where presets are: those of this library, folders that `zoo.save` wrote, and other sources.

Those of this library lie in the installed package, or in `zoo/` of a checkout.
"""

import json
import os
import pathlib

from keras_staa.presets import sources
from keras_staa.presets.parts import DESCRIPTION

ALIASES = "aliases.json"


def root():
    """Return the folder of this library's own presets."""
    package = pathlib.Path(__file__).parents[1]
    installed = package / "zoo" / "presets"
    return installed if installed.is_dir() else package.parent / "zoo"


def names():
    """Canonical names of this library's presets, sorted."""
    return sorted(path.parent.name for path in root().glob(f"*/{DESCRIPTION}"))


def aliases():
    """Short names and the canonical names they stand for at present."""
    path = root() / ALIASES
    return json.loads(path.read_text("utf-8")) if path.is_file() else {}


def find(name_or_folder):
    """Return the folder of a preset.

    Args:
        name_or_folder: canonical name, alias, path of a folder that `zoo.save` wrote or of a zip
            file of one, or an address that begins with `https://` or `hf://`.

    Returns:
        A `pathlib.Path`.

    Raises:
        ValueError: if there is no such preset.
        OSError: if it cannot be downloaded.
    """
    if not isinstance(name_or_folder, (str, os.PathLike)):
        raise ValueError(
            "A preset must be given by its name or the path of its folder. "
            f"Received: {name_or_folder!r}"
        )
    if (source := sources.of(name_or_folder)) is not None:
        return source(name_or_folder)
    folder = pathlib.Path(name_or_folder)
    is_folder = bool(os.fspath(name_or_folder)) and os.path.isfile(folder / DESCRIPTION)
    # A path is a path; only a string may be a name.
    name = name_or_folder if isinstance(name_or_folder, str) else None
    known = known_as(name)
    if known and is_folder and not folder.samefile(known):
        raise ValueError(
            f"{name!r} is the name of a preset of this library, {known}, and of a folder here, "
            f"{folder.resolve()}. Give the path of the one that you mean. Received: {name!r}"
        )
    if known or is_folder:
        return known or folder
    raise ValueError(
        f"A preset must be one of {names()}, an alias of {sorted(aliases())}, a folder that holds "
        f"{DESCRIPTION}, or {sources.KINDS}. Received: {str(name_or_folder)!r}"
    )


def known_as(name):
    """Return the folder of this library's preset of a name or alias, or None."""
    canonical = aliases().get(name, name)
    return root() / canonical if canonical in names() else None
