"""Presets in zip files."""

import contextlib
import os
import pathlib
import zipfile
import zlib

from keras_staa import files
from keras_staa.new_folder import FolderExists, new_folder
from keras_staa.presets import home
from keras_staa.presets.parts import DESCRIPTION, FILES, LONGEST, WEIGHTS


def find(path):
    """Return the folder into which a zip file of a preset was unpacked, now or before.

    Args:
        path: of the file. It holds the files of a preset, or one folder with them.

    Returns:
        A `pathlib.Path`, of a folder in that of `KERAS_STAA_HOME`.

    Raises:
        ValueError: if the file is no zip file, is damaged, or holds no preset.
        FileNotFoundError: if it is not there.
    """
    path = pathlib.Path(path)
    folder = home.place("zip", path.stem, files.sha256(path))
    if not folder.is_dir():
        unpack(path, folder)
    return folder


def unpack(path, folder, origin=None):
    """Unpack a zip file of a preset into a new folder, which appears whole or not at all.

    Only the files that a preset has are taken, whatever else the archive holds.

    Args:
        path: of the zip file.
        folder: `pathlib.Path` of the new folder. If it is there, nothing is done.
        origin: what errors call the file. Default: its path.

    Raises:
        ValueError: if the file is no zip file, is damaged, or holds no preset.
    """
    with _readable(origin or path), zipfile.ZipFile(path) as archive:
        members = _members(archive)
        with contextlib.suppress(FolderExists), new_folder(folder) as partial:
            for name, member in members.items():
                with archive.open(member) as source, open(partial / name, "wb") as target:
                    _copy(source, target, LONGEST[name], name)


def _members(archive):
    """Return the members that are files of the preset, by their names."""
    places = [i.filename.rpartition("/") for i in archive.infolist()]
    found = [folder for folder, _, name in places if name == DESCRIPTION and folder.count("/") == 0]
    if len(found) != 1:
        raise ValueError(
            f"it must hold one {DESCRIPTION}, at its top or in one folder. Found: {len(found)}"
        )
    members = {
        name: info
        for (folder, _, name), info in zip(places, archive.infolist(), strict=True)
        if folder == found[0] and name in FILES
    }
    if WEIGHTS not in members:
        raise ValueError(f"it holds no {WEIGHTS} beside {DESCRIPTION}")
    return members


def _copy(source, target, longest, name):
    """Copy what a member says it holds, and never more than a file of its name may hold."""
    left = longest
    while chunk := source.read(min(2**20, left + 1)):
        left -= len(chunk)
        if left < 0:
            raise ValueError(f"{name} in it has more than {longest} bytes")
        target.write(chunk)


@contextlib.contextmanager
def _readable(origin):
    broken = zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, ValueError
    try:
        yield
    except broken as error:
        raise ValueError(f"{origin} must be a zip file of a preset: {error}") from error


def pack(folder, path):
    """Pack the files of a preset into a zip file.

    Args:
        folder: `pathlib.Path` of the preset.
        path: of the zip file. One that is there is replaced.

    Returns:
        A `pathlib.Path`.
    """
    folder, path = pathlib.Path(folder), pathlib.Path(path)
    partial = path.with_name(path.name + ".partial")
    try:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in FILES:
                if (folder / name).is_file():
                    archive.write(folder / name, f"{folder.name}/{name}")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path
