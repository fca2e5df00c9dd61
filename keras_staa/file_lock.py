"""A lock between processes."""

import contextlib
import os


@contextlib.contextmanager
def alone(path, wait=True):
    """Hold a lock that no other process holds; the system ends that of a killed process.

    Args:
        path: a `pathlib.Path`, of a file that is made and removed.
        wait: boolean, whether to wait where another has it, or to raise.

    Raises:
        BlockingIOError: if another has it.
    """
    while True:
        with open(path, "a+b") as file:
            _lock(file, wait)
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


def _lock(file, wait):
    try:
        import fcntl
    except ImportError:  # Windows.
        import msvcrt

        while True:
            file.seek(0)
            try:
                return msvcrt.locking(file.fileno(), msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
            except OSError as error:  # After ten seconds, if it waits.
                if not wait:
                    raise BlockingIOError(error.errno, "another process has the lock") from error
    else:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
