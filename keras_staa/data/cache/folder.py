"""The folder of caches: errors that name its argument, and what kills left in it."""

import contextlib
import errno
import os
import pathlib
import re
import time

from keras_staa.file_lock import alone

_DEFAULT = "~/.cache/keras-staa/events"
# Of what a build writes. A folder that a user gives may hold other files.
_LEFT = re.compile(r".+-[0-9a-f]{16}\.(tmp|lock|partial)")
# Seconds after which a build that was killed is taken to have been given up.
_GIVEN_UP = 30 * 24 * 3600


def make_folder(cache_dir):
    """Return the path of the folder that the argument stands for, made if it is not there."""
    with naming(cache_dir):
        folder = pathlib.Path(cache_dir or _DEFAULT).expanduser()
        folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextlib.contextmanager
def naming(cache_dir):
    """Errors of writing there name the argument."""
    try:
        yield
    except (OSError, RuntimeError) as error:  # The latter where there is no home.
        given = None if cache_dir is None else os.fspath(cache_dir)
        raise OSError(
            getattr(error, "errno", None) or errno.ENOENT,
            "`cache_dir` must be a folder that can be made and written to. Received: "
            f"cache_dir={given!r}, which failed with {getattr(error, 'strerror', None) or error}",
            getattr(error, "filename", None) or _DEFAULT,
        ) from error


def tidy(folder, own):
    """Remove what killed builds left, except what the same build would go on with.

    Args:
        folder: path.
        own: string, the beginning of the file names of the build that calls.
    """
    for left in [path for path in folder.iterdir() if _LEFT.fullmatch(path.name)]:
        with contextlib.suppress(OSError):  # It is gone, or its build still runs.
            old = left.suffix != ".partial" or left.stat().st_mtime < time.time() - _GIVEN_UP
            # Some file systems would give up the own lock if it were tried.
            if old and left.stem != own:
                with alone(left.with_suffix(".lock"), wait=False):
                    if left.suffix != ".lock":
                        left.unlink()
