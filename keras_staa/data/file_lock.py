"""A lock between processes."""

import contextlib
import os


@contextlib.contextmanager
def alone(path):
    """Wait until no other process holds a lock; the system ends that of a killed process."""
    while True:
        with open(path, "a+b") as file:
            _lock(file)
            # Who held the lock before removed it, and another may have made a new one since.
            if not _lies_at(file, path):
                continue
            try:
                yield
            finally:
                with contextlib.suppress(OSError):  # Windows removes no open file.
                    path.unlink()
            return


def _lies_at(file, path):
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def _lock(file):
    try:
        import fcntl
    except ImportError:  # Windows.
        import msvcrt

        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
    else:
        fcntl.flock(file, fcntl.LOCK_EX)
