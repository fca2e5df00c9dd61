"""A folder that appears whole or not at all."""

import contextlib
import shutil

from keras_staa.file_lock import alone

# Its temporary folders are known by it, so that those that kills left can be removed.
_PARTIAL = ".keras-staa-partial"


class FolderExists(ValueError):
    """There is one already."""


@contextlib.contextmanager
def new_folder(folder):
    """Give a temporary folder to fill, which then takes the name of `folder`.

    Another process that makes the same folder waits, and then finds it there. Temporary folders
    that killed processes left beside it are removed.

    Args:
        folder: a `pathlib.Path` at which nothing is yet.

    Raises:
        FolderExists: if it exists; a ValueError.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial(folder)
    with alone(_lock(partial)):
        if folder.exists():
            raise FolderExists(f"`folder` must not exist yet. Received: folder={str(folder)!r}")
        for left in folder.parent.glob(f".*{_PARTIAL}"):
            if left != partial:
                with contextlib.suppress(BlockingIOError), alone(_lock(left), wait=False):
                    shutil.rmtree(left, ignore_errors=True)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        try:
            yield partial
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _partial(folder):
    return folder.with_name(f".{folder.name}{_PARTIAL}")


def _lock(partial):
    return partial.with_name(f"{partial.name}.lock")
