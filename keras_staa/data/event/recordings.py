"""Fingerprints of the recordings of a data set."""

import concurrent.futures
import hashlib
import os

# Files up to this size are read as a whole for their digest, of others three pieces as large.
_WHOLE = 2**16


def digest(source, recordings):
    """Give recordings their digests and return that of them all.

    That of a file is of its name within the data set, its size, and its contents: all of them up
    to 64 KiB, else that much of its beginning, middle and end, since reading gigabytes would take
    as long as using them. Neither the place of the data set nor the times of its files count, so
    that a copy has the same.

    Args:
        source: a `Source`.
        recordings: list of `Entry`.

    Returns:
        String of 64 hexadecimal digits. The order of the recordings and their labels count.
    """

    def read(part):
        for recording in part:
            recording.digest = recording.digest or _digest(source, recording)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(read, (recordings[i : i + 256] for i in range(0, len(recordings), 256))))
    lines = "".join(f"{r.digest} {source.classes[r.label]}\n" for r in recordings)
    return hashlib.sha256(lines.encode()).hexdigest()


def _digest(source, recording):
    text = hashlib.sha256(recording.name.encode() + b"\0")
    path = recording.address
    if not isinstance(path, str):
        table, index = path
        text.update(_options(source.tables[table]).encode())
        path = path_of(source.tables[table], index)
    if path is None:
        # Nothing but the events says what an object in memory holds.
        data = source.tables[table][index][0]
        text.update(f"{getattr(data, 'dtype', type(data))}".encode())
        text.update(data.tobytes() if hasattr(data, "tobytes") else repr(data).encode())
        return text.hexdigest()[:32]
    size = os.path.getsize(path)
    text.update(f"{size}\0".encode())
    with open(path, "rb") as file:
        for place in (0,) if size <= _WHOLE else (0, size // 2, size - _WHOLE):
            file.seek(place)
            text.update(file.read(_WHOLE))
    return text.hexdigest()[:32]


def _options(table):
    """Return what a data set of tonic does with its files, such as to read a part of each."""
    plain = (bool, int, float, type(None))
    told = {
        name: repr(value)
        for name, value in sorted(vars(table).items())
        if isinstance(value, plain) or "transform" in name
    }
    return f"{type(table).__name__} {told}"


def path_of(table, index):
    data = getattr(table, "data", None)
    path = data[index] if isinstance(data, list) and index < len(data) else None
    return path if isinstance(path, (str, os.PathLike)) and os.path.isfile(path) else None
