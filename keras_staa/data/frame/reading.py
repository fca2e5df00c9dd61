"""Recordings of event cameras as batches of frames."""

import os

from keras_staa import checks
from keras_staa.data.cache.pool import find_sensor
from keras_staa.data.cache.store import open_cache
from keras_staa.data.event.frames import Plan
from keras_staa.data.event.recordings import digest
from keras_staa.data.event.sources import find_source
from keras_staa.data.frame.augment import standardize
from keras_staa.data.frame.batches import Frames
from keras_staa.data.listing import select


def events(
    source,
    steps=10,
    *,
    split=None,
    size=None,
    by="time",
    window=None,
    stride=None,
    batch_size=32,
    augment=None,
    shuffle=None,
    seed=0,
    one_hot=False,
    normalize=False,
    drop_remainder=False,
    sensor_size=None,
    cache_dir=None,
    data_dir=None,
    processes=None,
    verbose=True,
    workers=1,
    use_multiprocessing=False,
    max_queue_size=10,
    shard=None,
):
    """Read recordings of event cameras as batches of frames that `fit` takes on every backend.

    A frame counts the OFF and the ON events of each pixel. The frames of a data set are computed
    once and cached in `cache_dir`, in one HDF5 file for each split and set of parameters. If the
    process is killed, the next call resumes the work. A cache is used only if its checksum is right
    and the parameters and the source have not changed; otherwise it is built again, with a warning
    if it was damaged. Frames that take less than 1 GiB as integers are kept in memory, others are
    read when needed.

    The same arguments give the same batches with the same augmentation, in the same order; each
    epoch differs from the one before. The random numbers of a batch depend only on `seed`, the
    epoch and the position of the batch, on every backend and with any number of workers. `fit`
    shuffles the batches with Python's `random`, unless it gets `shuffle=False`.

    Splits are made of recordings, so the windows of one recording are never in two splits:

    - A folder has the splits `"train"`, `"validation"` and `"test"` if it holds at least one folder
      called `train` or `training`, `validation`, `valid` or `val`, or `test` or `testing`, in lower
      or upper case, alone or with the same words before or after (`n-cars_train`, `n-cars_test`).
      Otherwise all of it is `"train"`.
    - `nmnist` and `dvs128_gesture` have their official `"train"` and `"test"`.
    - `cifar10_dvs` has the first 90% of each class as `"train"` and the rest as `"test"`, as the
      literature does.
    - `ncaltech101`, `asl_dvs` and data set objects are `"all"`.
    - `"all"` is all splits together. A slice, as in `"train[:90%]"`, `"train[90%:]"` or
      `"all[:100]"`, takes that part of each class, in the order of the file names, with 2 before
      10.

    Args:
        source: the name of a data set that tonic downloads (`"cifar10_dvs"`, `"dvs128_gesture"`,
            `"nmnist"`, `"ncaltech101"`, `"asl_dvs"`); a data set object of tonic, or any object
            that returns (events, target) and has `targets`, which are labels from 0 or names of
            classes, and optionally `classes`, a list of names; the path of a folder with one folder
            for each class, with recordings that `keras_staa.data.formats.read` reads, also in
            folders below; or the path of a folder of DVS128 Gesture, SHD or SSC as published.
            Hidden files and folders are ignored, links are followed. A name that is also a folder
            in the working directory is an error.
        steps: positive integer, frames of a sample.
        split: string, see above. By default `"train"` where there is one, else `"all"`.
        size: None or (height, width), or one integer for both, of the frames: at most the
            sensor's. The events of merged pixels are added; none is lost.
        by: `"time"` or `"count"`: whether the frames of a sample have the same duration or the same
            number of events.
        window: None for one sample per recording, or the length of a sample in seconds. Recordings
            are then cut into windows, and a remainder shorter than a window is left out.
        stride: None or the seconds from the start of a window to that of the next. By default
            `window`.
        batch_size: positive integer.
        augment: None, the name of a policy (`"shift"`, `"standard"`, `"strong"`, see
            `keras_staa.data.frame.augment.pipeline`), a layer for frames (`FrameFlip`, `FrameRoll`,
            `FrameRotation`, `FrameCutout`, `FrameDrop`, `FrameScale`, `FrameMixUp`, `TimeShift`),
            one of `RandomFlip`, `RandomTranslation`, `RandomRotation`, `RandomZoom` and
            `RandomShear` of `keras.layers`, or a list of such layers.
        shuffle: boolean. By default True where `split` starts with `"train"`.
        seed: non-negative integer, of the order and the augmentation.
        one_hot: boolean. If True, labels are one-hot floats, as mixup needs them.
        normalize: boolean. If True, each sample is divided by its largest count.
        drop_remainder: boolean. If True, a last partial batch is left out.
        sensor_size: None or (height, width). By default what the files state, and where none does,
            the smallest sensor that holds the events of all of them.
        cache_dir: path of the folder of caches, by default `~/.cache/keras-staa/events`.
        data_dir: path of the folder that tonic downloads to, by default
            `~/.cache/keras-staa/tonic`.
        processes: positive integer, the number of processes that build the cache. By default one
            per core.
        verbose: boolean, whether a progress bar is shown while the cache is built.
        workers: positive integer, of `keras.utils.PyDataset`.
        use_multiprocessing: boolean, of `keras.utils.PyDataset`.
        max_queue_size: positive integer, of `keras.utils.PyDataset`.
        shard: None, or (index, count) to read this part of each batch in one of several processes.

    Returns:
        A `Frames`.

    Raises:
        ValueError: if an argument is not allowed, the folder of a class is empty, it is not clear
            which folders are classes and which are splits, recordings differ in their sensor, or a
            recording is damaged or has no events or invalid ones.
        OSError: if the disk is full, or the cache has to be built and `cache_dir` is not writable.
            Finished recordings are kept, and the next call continues with the others.
        ImportError: if the source or a format needs a library that is not installed.

    Example:

    ```python
    train = keras_staa.data.events("N-MNIST", steps=10, augment="shift")
    test = keras_staa.data.events("N-MNIST", steps=10, split="test")
    model.fit(train, validation_data=test, epochs=10)
    ```
    """
    steps = checks.positive_int("steps", steps)
    checks.choice("by", by, ("time", "count"))
    size, sensor_size = checks.pair("size", size), checks.pair("sensor_size", sensor_size)
    window, stride = _microseconds(window, stride, steps)
    processes = _cores() if processes is None else checks.positive_int("processes", processes)
    batches = {
        "batch_size": checks.positive_int("batch_size", batch_size),
        "seed": checks.non_negative_int("seed", seed),
        "one_hot": checks.boolean("one_hot", one_hot),
        "normalize": checks.boolean("normalize", normalize),
        "drop_remainder": checks.boolean("drop_remainder", drop_remainder),
        "workers": checks.positive_int("workers", workers),
        "use_multiprocessing": checks.boolean("use_multiprocessing", use_multiprocessing),
        "max_queue_size": checks.positive_int("max_queue_size", max_queue_size),
        "shard": shard,
    }
    layers_for = standardize(augment, one_hot, use_multiprocessing)

    found = find_source(source, data_dir)
    if split is None:
        split = "train" if "train" in found.splits else "all"
    recordings = select(found, split)
    shuffle = split.startswith("train") if shuffle is None else checks.boolean("shuffle", shuffle)
    parameters = {
        "split": split,
        "steps": steps,
        "by": by,
        "size": size,
        "window": window,
        "stride": stride,
        "sensor_size": sensor_size,
    }
    fingerprints = {
        "fingerprint": digest(found, found.all()),
        "split_fingerprint": digest(found, recordings),
    }

    def plan():
        sensor = sensor_size or found.sensor_size
        sensor = sensor or find_sensor(found, recordings, processes)
        return Plan(sensor, steps, by, _at_most(sensor, size), window, stride)

    cache = open_cache(
        cache_dir,
        found,
        recordings,
        parameters,
        fingerprints,
        plan,
        processes,
        checks.boolean("verbose", verbose),
    )
    return Frames(
        cache,
        found.classes,
        {"source": found.name, **parameters, **fingerprints},
        augment=layers_for(cache.shape),
        shuffle=shuffle,
        **batches,
    )


def _microseconds(window, stride, steps):
    if window is None:
        if stride is not None:
            raise ValueError(f"`stride` must be None without `window`. Received: stride={stride!r}")
        return None, None
    stride = window if stride is None else stride
    window, stride = (
        round(1e6 * checks.positive(name, value))
        for name, value in (("window", window), ("stride", stride))
    )
    if window < steps or not stride:
        raise ValueError(
            "`window` and `stride` must be seconds, at least one microsecond per step. "
            f"Received: window={window / 1e6}, stride={stride / 1e6}, steps={steps}"
        )
    return window, stride


def _at_most(sensor, size):
    if size is None:
        return tuple(sensor)
    if any(side > most for side, most in zip(size, sensor, strict=True)):
        raise ValueError(
            f"`size` must be at most the sensor's {tuple(sensor)}. Received: size={size}"
        )
    return size


def _cores():
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
