"""Files of weights: their dtype, what they hold, and networks that take their weights from them.

A file from elsewhere is read by what it says of itself only as far as that is checked: every value
must lie in the file, take the shape that the network has, and be finite.
"""

import contextlib
import itertools
import math
import pathlib
import zlib

import numpy as np

# A compressed weight has a table of its chunks, which is larger than this.
SMALL = 4096
# A file may unfold to so many times its own size, and to so many bytes more: as much as weights
# compress that are nearly all zero.
UNFOLDED, FREE = 100, 2**26
# The filters of HDF5 that this library uses; others are programs that HDF5 loads by itself.
DEFLATE, SHUFFLE = 1, 2
# The state of training in a file of a compiled model.
OPTIMIZER = "optimizer"


def rewrite(source, target, dtype, compress=True):
    """Copy a `.weights.h5` file, with floating-point numbers of another dtype.

    Args:
        source: path of the file, or a file object.
        target: path of the copy, or a file object.
        dtype: `"float16"` or `"float32"`.
        compress: whether large arrays are compressed.

    Raises:
        ValueError: if a weight is too large for float16.
    """
    import h5py

    with h5py.File(source) as old, h5py.File(target, "w") as new:
        new.attrs.update(old.attrs)

        def copy(name, item):
            # A compiled model's file has its optimizer's state as well.
            if name.split("/")[0] == OPTIMIZER:
                return
            if isinstance(item, h5py.Group):
                made = new.require_group(name)
            else:
                values = item[()]
                if np.issubdtype(values.dtype, np.floating):
                    values = _cast(name, values, dtype)
                large = compress and values.nbytes > SMALL
                packing = {"compression": "gzip", "shuffle": True} if large else {}
                # Without times the same weights make the same file.
                made = new.create_dataset(name, data=values, track_times=False, **packing)
            made.attrs.update(item.attrs)

        old.visititems(copy)


@contextlib.contextmanager
def opened(path):
    """Open a `.weights.h5` file and look over what it holds, without reading a value.

    Args:
        path: of the file.

    Returns:
        A context with a dictionary of the file's `h5py.Dataset`s by their names.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no HDF5 file or a damaged one, or if it has links to elsewhere, data
            outside itself, or data of a form that weights do not have.
    """
    import h5py

    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no weight file {str(path)!r}.")
    with contextlib.ExitStack() as stack:
        with _named(path):
            file = stack.enter_context(h5py.File(path, "r"))
            datasets = _datasets(file)
        yield datasets


@contextlib.contextmanager
def _named(path):
    """Whatever HDF5 and h5py find, of any type, becomes a ValueError that names the file."""
    try:
        yield
    except Exception as error:
        if isinstance(error, ValueError) and str(path) in str(error):
            raise
        raise ValueError(f"{path} is not a readable `.weights.h5` file: {error}") from error


def total(path):
    """Return the most bytes that the weights of a file may take, as float32."""
    return UNFOLDED * pathlib.Path(path).stat().st_size + FREE


def read(dataset):
    """Return the values of a data set; floating-point numbers as float32.

    Raises:
        ValueError: if they are not all in the file, would take far more memory than the file, or
            are not finite.
    """
    name, dtype, path = dataset.name.lstrip("/"), dataset.dtype, dataset.file.filename
    if dataset.size * 4 > total(path):
        _refuse(dataset, f"weight {name} of shape {dataset.shape} would not fit into the file")
    with _named(path):
        values = _whole(dataset) if dataset.chunks is None else _chunked(dataset)
    if dtype.kind == "V":
        import ml_dtypes

        values = values.view(ml_dtypes.bfloat16)
    if dtype.kind in "fV":
        with np.errstate(over="ignore", invalid="ignore"):
            values = values.astype("float32")
        if not np.isfinite(values).all():
            _refuse(dataset, f"weight {name} has values that are not finite")
    return values


def _refuse(item, text):
    raise ValueError(f"{item.file.filename} is refused: {text}.")


def _datasets(file):
    """Every data set of a file by its name. Groups are entered once, links elsewhere never."""
    import h5py

    found, entered, waiting = {}, set(), [("", file)]
    while waiting:
        prefix, group = waiting.pop()
        address = h5py.h5o.get_info(group.id).addr
        if address in entered:
            _refuse(file, f"the group {prefix!r} is there twice")
        entered.add(address)
        for key in group:
            name = prefix + key
            if (
                group.id.links.get_info(key.encode("utf-8", "surrogateescape")).type
                != h5py.h5l.TYPE_HARD
            ):
                _refuse(file, f"{name!r} is a link to something else")
            item = group[key]
            if isinstance(item, h5py.Group):
                waiting.append((f"{name}/", item))
            elif isinstance(item, h5py.Dataset):
                found[name] = item
                _check_form(name, item)
            else:
                _refuse(file, f"{name!r} is neither a group nor a data set")
    return found


def _check_form(name, item):
    if item.is_virtual or item.external:
        _refuse(item, f"the values of {name!r} lie in other files")
    plain = item.dtype.kind in "fiu" and item.dtype.itemsize <= 8
    # The state of an optimizer is not read, so it may be anything.
    if not (plain or item.dtype == np.dtype("V2") or name.startswith(f"{OPTIMIZER}/")):
        _refuse(item, f"{name!r} holds no numbers that weights are made of")


def _whole(dataset):
    # Space that was never written reads as zeros, and costs the file nothing.
    if dataset.id.get_storage_size() < dataset.nbytes:
        _refuse(dataset, f"the values of {dataset.name!r} are not in the file")
    return dataset[()]


def _chunked(dataset):
    """Return the values of a data set in pieces, none of which may unfold to more than it should.

    HDF5 itself lets a compressed piece unfold to any size.
    """
    plist = dataset.id.get_create_plist()
    filters = [plist.get_filter(i)[0] for i in range(plist.get_nfilters())]
    if not set(filters) <= {DEFLATE, SHUFFLE}:
        _refuse(dataset, f"the values of {dataset.name!r} are packed by filters {filters}")
    shape, chunk, dtype = dataset.shape, dataset.chunks, dataset.dtype
    if any(c > max(s, 1) for c, s in zip(chunk, shape, strict=True)):
        _refuse(dataset, f"{dataset.name!r} has pieces larger than itself, {chunk}")
    values = np.empty(shape, dtype)
    expected = math.prod(chunk) * dtype.itemsize
    largest = 2 * expected + SMALL
    steps = (range(0, s, c) for s, c in zip(shape, chunk, strict=True))
    for offset in itertools.product(*steps):
        size = dataset.id.get_chunk_info_by_coord(offset).size
        if not 0 < size <= largest:
            _refuse(dataset, f"a piece of {dataset.name!r} takes {size} bytes in the file")
        mask, packed = dataset.id.read_direct_chunk(offset)
        for index, kind in reversed(list(enumerate(filters))):
            if not mask >> index & 1:
                packed = _undo(kind, packed, expected, dtype.itemsize)
        if len(packed) != expected:
            _refuse(dataset, f"a piece of {dataset.name!r} has not the size it should have")
        piece = np.frombuffer(packed, dtype).reshape(chunk)
        place = tuple(slice(o, o + c) for o, c in zip(offset, chunk, strict=True))
        target = values[place]
        target[...] = piece[tuple(slice(n) for n in target.shape)]
    return values


def _undo(kind, packed, expected, itemsize):
    if kind == DEFLATE:
        return zlib.decompressobj().decompress(packed, expected + 1)
    if len(packed) % itemsize:
        return b""
    return np.frombuffer(packed, "uint8").reshape(itemsize, -1).T.tobytes()


def _cast(name, values, dtype):
    with np.errstate(over="ignore"):
        cast = values.astype(dtype)
    if not np.isfinite(cast).all():
        raise ValueError(f"Weight {name} has values that {dtype} cannot hold. Use dtype='float32'.")
    return cast
