"""The samples that a build of a cache has so far, in a file that a killed build leaves usable."""

import contextlib
import json
import os
import struct
import zlib

_MAGIC = b"KSJ1"
_HEAD = struct.Struct("<4sIII")  # Magic, length of the description, of the data, and their CRC.


class Journal:
    """Recordings that are done, by their digest. What a kill cut off at the end is dropped.

    Args:
        path: path of the file; it is made if it is not there.
    """

    def __init__(self, path):
        self.path = path
        self.done = {}
        self._begun = {}
        self._file = open(path, "a+b")  # noqa: SIM115  Closed by `__exit__`.
        self._file.seek(0)
        whole = 0
        while (size := self._read(whole)) is not None:
            whole += size
        self._file.truncate(whole)
        # Windows of recordings without their end come again.
        self._begun = {}

    def __enter__(self):
        return self

    def __exit__(self, *error):
        with contextlib.suppress(OSError):  # A full disk was reported when it was met.
            self._file.close()

    def add(self, digest, windows, end, warnings):
        """Append some windows of a recording, see `worker.convert`."""
        data = b"".join(packed for *_, packed in windows)
        description = {
            "digest": digest,
            "windows": [(start, itemsize, len(packed)) for start, itemsize, packed in windows],
            "end": end,
            "warnings": warnings,
        }
        text = json.dumps(description).encode()
        crc = zlib.crc32(data, zlib.crc32(text))
        place = self._file.seek(0, os.SEEK_END)
        try:
            self._file.write(_HEAD.pack(_MAGIC, len(text), len(data), crc) + text + data)
            self._file.flush()
        except OSError:
            os.truncate(self.path, place)
            raise
        self._note(description, place + _HEAD.size + len(text))

    def take(self, place, length):
        """Return the compressed frames of a window in `done`."""
        self._file.seek(place)
        return self._file.read(length)

    def remove(self):
        """Close and remove the file."""
        self._file.close()
        os.unlink(self.path)

    def _read(self, place):
        """Note the record at a place and return its length, or None if there is no whole one."""
        head = self._file.read(_HEAD.size)
        if len(head) < _HEAD.size:
            return None
        magic, text_size, data_size, crc = _HEAD.unpack(head)
        if magic != _MAGIC:
            return None
        body = self._file.read(text_size + data_size)
        if len(body) < text_size + data_size or zlib.crc32(body) != crc:
            return None
        self._note(json.loads(body[:text_size]), place + _HEAD.size + text_size)
        return _HEAD.size + len(body)

    def _note(self, description, place):
        digest = description["digest"]
        windows = self._begun.setdefault(digest, [])
        for start, itemsize, length in description["windows"]:
            windows.append((start, itemsize, place, length))
            place += length
        if description["end"]:
            self.done[digest] = (self._begun.pop(digest), description["warnings"])
