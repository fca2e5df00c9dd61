"""Finds, and where asked downloads, data sets of TensorFlow Datasets."""

import contextlib
import importlib
import os

import keras


def libraries():
    """TensorFlow and TensorFlow Datasets, or an error that says how to get them."""
    modules = []
    for name in ("tensorflow", "tensorflow_datasets"):
        try:
            modules.append(importlib.import_module(name))
        except ImportError as error:
            raise ImportError(
                f"`keras_staa.data` reads images with {name}, which could not be imported "
                f"({error}). Install it with `pip install keras-staa[data,tensorflow]`."
            ) from error
    if keras.backend.backend() != "tensorflow":
        # Else TensorFlow, which only reads here, would take the memory the network needs. Once its
        # devices are in use they stay as they are.
        with contextlib.suppress(RuntimeError):
            modules[0].config.set_visible_devices([], "GPU")
    return modules


def prepared(tfds, source, data_dir, download):
    """The builder of a data set whose files are there, downloaded if need be."""
    if isinstance(source, str):
        name = source
        where = os.path.expanduser(data_dir or tfds.core.constants.DATA_DIR)
        try:
            # Looks at the files alone: no network, and no wait for it.
            return tfds.core.read_only_builder.builder_from_files(name, data_dir=where)
        except tfds.core.DatasetNotFoundError:
            builder = _from_code(tfds, name, where) if download else None
    else:
        builder, name, where = source, source.info.full_name, str(source.data_path.parents[1])
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


def _from_code(tfds, name, data_dir):
    try:
        return tfds.builder(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError:
        # The error of TensorFlow Datasets prints every name there is.
        raise ValueError(
            "`source` must be a data set in `data_dir` or one that TensorFlow Datasets knows "
            "(https://www.tensorflow.org/datasets/catalog/overview). "
            f"Received: source={name!r}, data_dir={data_dir!r}"
        ) from None


def supervised_keys(tfds, builder):
    """The names of the image and of its class label."""
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


def count(builder, split):
    """How many examples a split, or a slice of one, has."""
    try:
        return builder.info.splits[split].num_examples
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"`split` must be one of {list(builder.info.splits)} or a slice such as "
            f"'train[:90%]'. Received: split={split!r}"
        ) from error
