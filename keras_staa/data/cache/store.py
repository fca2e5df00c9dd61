"""Frames on disk: one HDF5 file for each split and set of parameters, whole or not there at all.

While it is built, finished recordings are kept in a journal, from which a killed build goes on. The
first 512 bytes of the file, which HDF5 leaves to the user, hold a checksum of all the rest.
"""

import contextlib
import dataclasses
import errno
import hashlib
import json
import os
import re
import shutil
import warnings
import zlib

import keras
import numpy as np

from keras_staa.data.cache.folder import make_folder, naming, tidy
from keras_staa.data.cache.journal import Journal
from keras_staa.data.cache.pool import convert_all
from keras_staa.data.cache.worker import LEVEL
from keras_staa.file_lock import alone

_VERSION = 2
_BLOCK = 512
_READ = 2**22
_WARNINGS = 5
# Fixed, since the newest that a version of HDF5 writes is often none that the one before reads.
_FORMAT = ("v110", "v110")


@dataclasses.dataclass(frozen=True, eq=False)
class Cache:
    """What a cache's file says, and where in it the samples are.

    Attributes:
        path: path of the file.
        shape: of a sample, (steps, height, width, 2).
        dtype: of the counts.
        labels: int32 `(samples,)`.
        recordings: int32 `(samples,)`, the recording each sample is of.
        starts: int64 `(samples,)`, microseconds from the recording's first event.
        names: list of strings, of the recordings.
        sensor_size: (height, width).
        offsets: int64 `(samples,)`, of the compressed samples in the file.
        sizes: int64 `(samples,)`, their bytes.
    """

    path: str
    shape: tuple
    dtype: np.dtype
    labels: np.ndarray
    recordings: np.ndarray
    starts: np.ndarray
    names: list
    sensor_size: tuple
    offsets: np.ndarray
    sizes: np.ndarray

    def read(self, indices, out):
        """Read samples into an array `(len(indices), *shape)`.

        The file is opened here, by the process or thread that reads, and read without the HDF5
        library, whose lock would let one thread work at a time.
        """
        with open(self.path, "rb") as file:
            for place, index in enumerate(indices):
                file.seek(self.offsets[index])
                packed = file.read(self.sizes[index])
                try:
                    counts = np.frombuffer(zlib.decompress(packed), self.dtype)
                    out[place] = counts.reshape(self.shape)
                except (zlib.error, ValueError) as error:
                    raise ValueError(
                        f"{self.path} was changed or damaged since it was opened ({error}). "
                        "`keras_staa.data.events` builds it again."
                    ) from error
        return out


def open_cache(
    cache_dir, source, recordings, parameters, fingerprints, plan_for, processes, verbose
):
    """Return the cache of some recordings, built if it is not there.

    Args:
        cache_dir: path of the folder of caches, or None for the user's own.
        source: a `keras_staa.data.listing.Source`.
        recordings: list of its `Entry`s with digests.
        parameters: dictionary of what was asked for.
        fingerprints: dictionary of strings, of the source and of the split.
        plan_for: function that gives the `frames.Plan`; it may have to read recordings.
        processes: positive integer.
        verbose: boolean, whether to show a progress bar.

    Returns:
        A `Cache`.

    Raises:
        ValueError: if a recording is not as it must be.
        OSError: if the disk is full, or the folder cannot be made or written to. What is done is
            kept.
    """
    folder = make_folder(cache_dir)
    stated = {"version": _VERSION, "parameters": parameters, **fingerprints}
    slug = re.sub(r"[^\w-]+", "_", f"{source.name}-{parameters['split']}").strip("_")
    path = folder / f"{slug}-{_key(stated)}.h5"
    cache = _whole(path, stated)
    if cache is None:
        with contextlib.ExitStack() as stack:
            with naming(cache_dir):
                stack.enter_context(alone(path.with_suffix(".lock")))
            # Another process may have built it meanwhile.
            cache = _whole(path, stated, report=True)
            if cache is None:
                tidy(folder, path.stem)
                _build(path, slug, source, recordings, stated, plan_for(), processes, verbose)
                cache = _open(path, stated)
    return cache


def _key(stated):
    return hashlib.sha256(json.dumps(stated, sort_keys=True).encode()).hexdigest()[:16]


def _whole(path, stated, report=False):
    """Return the cache at a path, or None if it is not there or damaged."""
    if not path.exists():
        return None
    with open(path, "rb") as file:
        found = "is damaged (its checksum is another)"
        if file.read(_BLOCK) == _head(file):
            try:
                return _open(path, stated)
            except (OSError, RuntimeError, LookupError, AttributeError, TypeError, ValueError) as e:
                # Such as a file format that came after this version of HDF5.
                found = f"cannot be opened ({e})"
    if report:
        warnings.warn(f"{path} {found}; it is built again.", stacklevel=4)
    return None


def _head(file):
    """Return the block in front of what comes next in a file."""
    crc, size = 0, 0
    while data := file.read(_READ):
        crc, size = zlib.crc32(data, crc), size + len(data)
    return f"keras-staa frames, {size} bytes follow, CRC {crc:08x}\n".encode().ljust(_BLOCK, b"\0")


def _open(path, stated):
    import h5py

    with h5py.File(path, "r") as file:
        found = json.loads(file.attrs["stated"])
        if found != json.loads(json.dumps(stated)):
            raise ValueError(
                f"it must be of the parameters and the source in its name. Found: {found}"
            )
        data = file["frames"]
        offsets, sizes = np.zeros(len(data), np.int64), np.zeros(len(data), np.int64)

        def note(chunk):
            index = chunk.chunk_offset[0]
            offsets[index], sizes[index] = chunk.byte_offset, chunk.size

        data.id.chunk_iter(note)
        _, first = data.id.read_direct_chunk((0,) * data.ndim)
        # Versions of HDF5 differ in whether the user's block counts.
        with open(path, "rb") as plain:
            plain.seek(offsets[0])
            if plain.read(sizes[0]) != first:
                offsets += _BLOCK
        return Cache(
            path=str(path),
            shape=data.shape[1:],
            dtype=data.dtype,
            labels=file["labels"][:],
            recordings=file["recordings"][:],
            starts=file["starts"][:],
            names=[name.decode() for name in file["names"][:]],
            sensor_size=tuple(file.attrs["sensor_size"].tolist()),
            offsets=offsets,
            sizes=sizes,
        )


def _build(path, slug, source, recordings, stated, plan, processes, verbose):
    # Neither the split nor the fingerprint: recordings that are still the same are not read anew.
    same = {"version": _VERSION, **dataclasses.asdict(plan), "level": LEVEL}
    partial = path.with_name(f"{slug}-{_key(same)}.partial")
    # Builds of other files may come to have the same journal.
    with alone(partial.with_suffix(".lock")), Journal(partial) as journal:
        missing = [r for r in recordings if r.digest not in journal.done]
        try:
            _read(journal, source, recordings, missing, plan, processes, verbose)
            _write(path, journal, source, recordings, stated, plan)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            done = sum(r.digest in journal.done for r in recordings)
            raise OSError(
                error.errno,
                f"No room on the disk ({error.strerror}) to cache {source.name}: {done} of "
                f"{len(recordings)} recordings are done and kept. Make room, or give another "
                "`cache_dir`, and call again to continue",
                str(path.parent),
            ) from error
        found = [text for r in recordings for text in journal.done[r.digest][1]]
        journal.remove()
    for text in found[:_WARNINGS]:
        warnings.warn(text, stacklevel=4)
    if len(found) > _WARNINGS:
        more = len(found) - _WARNINGS
        warnings.warn(f"{source.name}: {more} more recordings gave such warnings.", stacklevel=4)


def _read(journal, source, recordings, missing, plan, processes, verbose):
    done = len(recordings) - len(missing)
    bar = keras.utils.Progbar(len(recordings), unit_name="recording") if verbose else None
    addresses = [r.address for r in missing]
    pieces = convert_all(addresses, source.tables, plan, processes)
    with contextlib.closing(pieces):
        for index, (windows, end, texts) in pieces:
            journal.add(missing[index].digest, windows, end, texts)
            done += end
            if bar and end:
                bar.update(done)


def _write(path, journal, source, recordings, stated, plan):
    """Make the file from the journal under another name, then give it its own."""
    import h5py

    windows = [(k, *w) for k, r in enumerate(recordings) for w in journal.done[r.digest][0]]
    itemsize = max(w[2] for w in windows)
    room = shutil.disk_usage(path.parent).free
    need = sum(w[4] for w in windows) + 2**20
    if room < need:
        # The HDF5 library does not take a full disk well.
        raise OSError(errno.ENOSPC, f"{need} bytes needed, {room} free")
    temporary = path.with_suffix(".tmp")
    temporary.unlink(missing_ok=True)
    numbers = np.array([w[0] for w in windows], np.int32)
    try:
        with h5py.File(temporary, "w", userblock_size=_BLOCK, libver=_FORMAT) as file:
            frames = file.create_dataset(
                "frames",
                (len(windows), *plan.shape),
                f"<u{itemsize}",
                chunks=(1, *plan.shape),
                compression="gzip",
                compression_opts=LEVEL,
                track_times=False,
            )
            for index, (_, _, size, place, length) in enumerate(windows):
                packed = journal.take(place, length)
                if size < itemsize:
                    narrow = np.frombuffer(zlib.decompress(packed), f"<u{size}")
                    packed = zlib.compress(narrow.astype(f"<u{itemsize}"), LEVEL)
                frames.id.write_direct_chunk((index, 0, 0, 0, 0), packed)
            file["labels"] = np.array([recordings[k].label for k in numbers], np.int32)
            file["recordings"] = numbers
            file["starts"] = np.array([w[1] for w in windows], np.int64)
            names = np.array([r.name.encode() for r in recordings])
            file["names"] = names
            file.attrs["stated"] = json.dumps(stated)
            for name in ("fingerprint", "split_fingerprint"):
                file.attrs[name] = stated[name]
            file.attrs["parameters"] = json.dumps(stated["parameters"])
            file.attrs["sensor_size"] = plan.sensor_size
            file.attrs["classes"] = json.dumps(source.classes)
        with open(temporary, "r+b") as file:
            file.seek(_BLOCK)
            head = _head(file)
            file.seek(0)
            file.write(head)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except RuntimeError as error:
        # So h5py calls what HDF5 met when it closed the file.
        number = re.search(r"errno = (\d+)", str(error))
        if not number:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1]))) from error
    finally:
        temporary.unlink(missing_ok=True)
