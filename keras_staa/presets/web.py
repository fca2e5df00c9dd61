"""Presets on web servers."""

import contextlib
import pathlib
import re
import urllib.parse

from keras_staa import files
from keras_staa.downloads import Expected, NotFound, download
from keras_staa.file_lock import alone
from keras_staa.presets import archive, home, schema
from keras_staa.presets.parts import CARD, DESCRIPTION, HISTORY, LONGEST, WEIGHTS
from keras_staa.presets.sources import SUFFIX


def find(address):
    """Return the folder of a preset on a web server, downloaded now or before.

    Args:
        address: `https://` and where its folder or its zip file is. `#sha256=` and a sha256 at the
            end is checked: that of the zip file, or that of `preset.json`, which holds that of the
            weights.

    Returns:
        A `pathlib.Path`, of a folder in that of `KERAS_STAA_HOME`.

    Raises:
        ValueError: if the address is not one, or what is there is no preset.
        OSError: if it cannot be downloaded.
    """
    url, sha256 = _split(address)
    path = urllib.parse.urlsplit(url).path
    name = pathlib.PurePosixPath(urllib.parse.unquote(path)).name
    zipped = name.endswith(SUFFIX)
    folder = home.place("web", name.removesuffix(SUFFIX), address)
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Another process that wants the same waits here, and then finds it.
    with alone(folder.parent / "lock"):
        if not folder.is_dir():
            coming = folder.parent / "coming"
            coming.mkdir(exist_ok=True)
            (_receive_zip if zipped else _receive_folder)(url, sha256, coming, folder)
    return folder


def _split(address):
    url, _, fragment = address.partition("#")
    if not fragment:
        return url, None
    if not (found := re.fullmatch("sha256=([0-9a-fA-F]{64})", fragment)):
        raise ValueError(
            f"An address may end in #sha256= and 64 hexadecimal digits. Received: {address!r}"
        )
    return url, found[1].lower()


def _receive_zip(url, sha256, coming, folder):
    path = coming / "preset.zip"
    with _bar(folder.name) as progress:
        download(url, path, Expected(sha256, longest=LONGEST[WEIGHTS]), progress=progress)
    try:
        archive.unpack(path, folder, url)
    finally:
        path.unlink()
        coming.rmdir()


def _receive_folder(url, sha256, coming, folder):
    url = urllib.parse.urlsplit(url)

    def at(name):
        return url._replace(path=f"{url.path.rstrip('/')}/{name}").geturl()

    path = coming / DESCRIPTION
    download(at(DESCRIPTION), path, Expected(sha256, longest=LONGEST[DESCRIPTION]))
    try:
        preset = schema.parse(path)
    except ValueError:
        path.unlink()
        raise
    expected = Expected(preset.sha256, preset.bytes, LONGEST[WEIGHTS])
    weights = coming / WEIGHTS
    if not weights.is_file() or files.sha256(weights) != preset.sha256:
        with _bar(preset.name) as progress:
            # The description says what the weights are, however they come.
            download(at(WEIGHTS), weights, expected, progress=progress)
    for name in (CARD, HISTORY):
        with contextlib.suppress(NotFound):
            download(at(name), coming / name, Expected(longest=LONGEST[name]))
    coming.rename(folder)


@contextlib.contextmanager
def _bar(name):
    """Show how far a download is, on a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    console = Console(stderr=True)
    with Progress(*columns, TransferSpeedColumn(), console=console, transient=True) as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
