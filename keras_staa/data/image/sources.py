"""Finds, and where asked downloads, data sets of TensorFlow Datasets."""

import contextlib
import importlib
import os
import pathlib
import warnings

import keras

_ALLOWED = (
    "the path of a folder of pictures, a data set in `data_dir`, one that TensorFlow Datasets "
    "knows (https://www.tensorflow.org/datasets/catalog/overview), or a builder of it"
)


def import_libraries():
    """TensorFlow and TensorFlow Datasets, or an error that says how to get them."""
    modules = []
    for name in ("tensorflow", "tensorflow_datasets"):
        try:
            modules.append(importlib.import_module(name))
        except ImportError as error:
            raise ImportError(
                f"`keras_staa.data.images` reads this data set with {name}, which could not be "
                f"imported ({error}). Install it with `pip install keras-staa[data,tensorflow]`."
            ) from error
    if keras.backend.backend() != "tensorflow":
        # Else TensorFlow, which only reads here, would take the memory the network needs. Once its
        # devices are in use they stay as they are.
        with contextlib.suppress(RuntimeError):
            modules[0].config.set_visible_devices([], "GPU")
    return modules


def folder_of(source, data_dir):
    """Return the folder of pictures that `source` is, or None if it is a data set.

    A string is a folder if it starts like a path, or if there is such a folder and no data set of
    the name.

    Raises:
        ValueError: if it is a path, and no folder is there.
    """
    if not isinstance(source, (str, os.PathLike)):
        return None
    folder = pathlib.Path(source).expanduser()
    is_path = not isinstance(source, str) or source.startswith((".", "~")) or folder.is_absolute()
    if folder.is_dir() and (is_path or not _is_data_set(source, data_dir)):
        return folder
    if is_path:
        raise ValueError(f"`source` must be {_ALLOWED}. Received: source={os.fspath(source)!r}")
    return None


def _is_data_set(name, data_dir):
    try:
        import tensorflow_datasets as tfds
    except ImportError:
        return False
    where = os.path.expanduser(data_dir or tfds.core.constants.DATA_DIR)
    for find in (tfds.core.read_only_builder.builder_from_files, tfds.builder):
        with contextlib.suppress(tfds.core.DatasetNotFoundError, ValueError):
            find(name, data_dir=where)
            return True
    return False


def prepare(tfds, source, data_dir, download):
    """Return the builder of a data set whose files are there, downloaded if need be."""
    if isinstance(source, str):
        name = source
        where = os.path.expanduser(data_dir or tfds.core.constants.DATA_DIR)
        _check_name(tfds, name, where)
        try:
            # Looks at the files alone: no network, and no wait for it.
            return tfds.core.read_only_builder.builder_from_files(name, data_dir=where)
        except tfds.core.DatasetNotFoundError:
            builder = _from_code(tfds, name, where) if download else None
    elif isinstance(source, tfds.ImageFolder):
        _check_folders(source)
        return source  # It has nothing to prepare, and says so with an error.
    elif isinstance(source, tfds.core.DatasetBuilder):
        builder, name = source, source.info.full_name
        where = os.path.dirname(os.path.dirname(source.data_path))
    else:
        raise ValueError(f"`source` must be {_ALLOWED}. Received: source={source!r}")
    if builder is None or not (download or builder.is_prepared()):
        raise ValueError(
            f"`data_dir` must hold the prepared data set {name!r}, or it must be downloaded. Call "
            f"`keras_staa.data.images({name!r}, data_dir=..., download=True)` once with a network, "
            f"or copy a folder prepared elsewhere to {where}. Received: data_dir={where!r}"
        )
    try:
        builder.download_and_prepare()
    except OSError as error:
        raise OSError(
            f"The data set {name!r} is not in data_dir={where!r} and could not be downloaded "
            f"({error}). Without a network, copy a folder prepared elsewhere to {where}."
        ) from error
    return builder


def _check_name(tfds, name, data_dir):
    """Tell a name from a path. Only names are read, so that a folder of a name is not meant."""
    folder = os.path.abspath(os.path.expanduser(name))
    try:
        first, _ = tfds.core.naming.parse_builder_name_kwargs(name)
    except ValueError:
        there = ", which is a folder" if os.path.isdir(folder) else ""
        raise ValueError(f"`source` must be {_ALLOWED}. Received: source={name!r}{there}") from None
    prepared = os.path.join(data_dir, str(first).split("/")[0])
    same = os.path.isdir(prepared) and os.path.isdir(folder) and os.path.samefile(prepared, folder)
    if os.path.isdir(folder) and not same:
        warnings.warn(
            f"`source={name!r}` is the data set of that name in data_dir={data_dir!r}; the folder "
            f"{folder!r} is not read.",
            stacklevel=4,
        )


def _check_folders(source):
    names = [*source.info.splits, *source.info.features["label"].names]
    if hidden := sorted(name for name in names if name.startswith(".")):
        raise ValueError(
            "`source` must have no hidden folders, which tfds.ImageFolder takes for classes and "
            f"splits. Received: {hidden}"
        )


def _from_code(tfds, name, data_dir):
    try:
        return tfds.builder(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError:
        # The error of TensorFlow Datasets prints every name there is.
        raise ValueError(
            f"`source` must be {_ALLOWED}. Received: source={name!r}, data_dir={data_dir!r}"
        ) from None


def supervised_keys(tfds, builder):
    """Return the names of the image and of its class label."""
    keys = builder.info.supervised_keys
    features = builder.info.features
    if (
        not keys
        or len(keys) != 2
        or not isinstance(features[keys[0]], tfds.features.Image)
        or not isinstance(features[keys[1]], tfds.features.ClassLabel)
    ):
        raise ValueError(
            "`source` must be a data set of images with class labels. Received: source="
            f"{builder.info.full_name!r} with supervised_keys={keys} of features={features}"
        )
    return keys


def count_examples(builder, split):
    """How many examples a split, or a slice of one, has."""
    try:
        return builder.info.splits[split].num_examples
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"`split` must be one of {list(builder.info.splits)} or a slice such as "
            f"'train[:90%]'. Received: split={split!r}"
        ) from error
