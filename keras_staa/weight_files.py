"""Files of weights whose floating-point numbers have another dtype than the weights."""

import io

import numpy as np

from keras_staa import h5_files

# A compressed weight has a table of its chunks, which is larger than this.
SMALL = 4096


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
            if name.split("/")[0] == "optimizer":
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


def load(model, file):
    """Give a network the weights of a `.weights.h5` file of any floating-point dtype.

    Keras widens them on the device, for which JAX compiles a program for each shape.
    """
    wide = io.BytesIO()
    rewrite(file, wide, "float32", compress=False)
    h5_files.load_weights(model, wide.getbuffer())


def _cast(name, values, dtype):
    with np.errstate(over="ignore"):
        cast = values.astype(dtype)
    if not np.isfinite(cast).all():
        raise ValueError(f"Weight {name} has values that {dtype} cannot hold. Use dtype='float32'.")
    return cast
