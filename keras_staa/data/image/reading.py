"""Images with class labels as batches: folders of pictures, and TensorFlow Datasets."""

import itertools

from keras_staa import _keras, checks
from keras_staa.data.batches import MEMORY, check_shard
from keras_staa.data.image import arrays, augmenting, sources
from keras_staa.data.image.folder import central, find_pictures, read_folder
from keras_staa.data.image.passes import passes


def images(
    source,
    split="train",
    *,
    data_dir=None,
    batch_size=128,
    size=None,
    augment=None,
    shuffle=None,
    seed=0,
    one_hot=False,
    download=True,
    drop_remainder=False,
    crop_to_aspect_ratio=False,
    skip_damaged=False,
    workers=1,
    shard=None,
):
    """Read an image classification data set as batches that `fit` takes on every backend.

    It reads folders of pictures, with Pillow, and files of NumPy arrays, both without TensorFlow,
    and data sets of TensorFlow Datasets with images and class labels. A data set that is prepared
    in `data_dir` needs no network connection. A data set that takes less than 1 GiB decoded is
    decoded once and kept in memory. Augmentation runs on batches of images in [0, 1], with its own
    random numbers for each image.

    The same arguments give the same batches with the same augmentation, in the same order. Each
    pass over the data differs from the one before. The order of a pass and the random numbers of
    the augmentation depend on `seed`, the number of the pass and the position of the batch, and not
    on the seeds of the layers. For a folder or a file, the order is the same on every backend, but
    the random numbers are not.

    Args:
        source: one of
            - the path of a folder of pictures, with one folder per class (`photos/cat/1.jpg`), or
              with folders of splits that hold those of the classes (`photos/train/cat/1.jpg`);
            - the path of an `.npz` file with the arrays `x_train`, `y_train`, `x_test`, `y_test`:
              uint8 images (N, H, W, C) and integer labels, and optionally `class_names`;
            - the name of a data set of TensorFlow Datasets (`"cifar10"`, `"cifar100"`, `"mnist"`,
              ..., with a configuration or version as in `"cifar10:3.0.2"`). If a folder has this
              name too, there is a warning: the folder is not read. Write `"./cifar10"` for it;
            - a `tfds.core.DatasetBuilder`.
        split: string, which part to read, with slices as in `"train[:90%]"`. A folder without
            splits has the split `"train"`. A slice of a folder takes that part of each class, other
            slices that part of all samples in their order.
        data_dir: optional path of the folder with prepared data sets (such as
            `data_dir/cifar10/3.0.2`), by default that of TensorFlow Datasets.
        batch_size: positive integer.
        size: optional (height, width), or one integer for both, to which the images are resized.
            Needed where the images of the data set differ in size.
        augment: None, the name of a policy (`"crop"`, `"standard"`, `"cutout"`, `"strong"`, see
            `keras_staa.data.image.augment.pipeline`), a Keras layer, or a list of these.
            `keras.layers.MixUp` and `CutMix` mix the labels too, and need `one_hot=True`.
            Layers of keras-cv work too, but draw from TensorFlow's own generators: the same
            arguments then do not give the same augmentation again.
        shuffle: boolean. By default True where `split` starts with `"train"`.
        seed: integer, of the order and the augmentation.
        one_hot: boolean. If True, labels are one-hot floats, as label smoothing needs them.
        download: boolean. If True, a data set that is not in `data_dir` is downloaded and prepared
            there; otherwise it is an error.
        drop_remainder: boolean. If True, a last partial batch is left out.
        crop_to_aspect_ratio: boolean. If True, an image is resized without distortion: its largest
            central part of the aspect ratio of `size` is taken. Otherwise the whole is distorted.
        skip_damaged: boolean. If True, pictures of a folder that cannot be read are left out, with
            a warning that names them. All are decoded once for this at the start.
        workers: positive integer, of `keras.utils.PyDataset`. For a folder that does not fit into
            memory, more than 1 read batches ahead while the network trains.
        shard: None, or (index, count) to read this part of each batch in one of several processes.

    Returns:
        A `tf.data.Dataset`, or for a folder or a file a `keras.utils.PyDataset` with an attribute
        `classes`, the names of the classes. Its elements are float32 images
        `(batch, height, width, channels)` in [0, 1] and int32 labels `(batch,)`, or float32 labels
        `(batch, classes)` if `one_hot`. Its method `set_epoch(epoch)` makes the next pass that of
        an epoch, counted from 0, also in data sets derived from it.
        `keras_staa.callbacks.Checkpoint` calls it.

    Raises:
        ImportError: if TensorFlow or TensorFlow Datasets is not installed, or Pillow for a folder.
        ValueError: if the data set is not there and must not be downloaded, or is not one of
            images with class labels, a picture cannot be read, or an argument is not allowed.
        tf.errors.InvalidArgumentError: while batches are read, if an image has no label, as in the
            test split of some data sets.

    Example:

    ```python
    train = keras_staa.data.images("cifar10", "train[:90%]", augment="standard", one_hot=True)
    held_out = keras_staa.data.images("cifar10", "train[90%:]", shuffle=False, one_hot=True)
    model.fit(train, validation_data=held_out, epochs=10)
    ```
    """
    checks.positive_int("batch_size", batch_size)
    shuffle = split.startswith("train") if shuffle is None else checks.boolean("shuffle", shuffle)
    size = checks.pair("size", size)
    crop = checks.boolean("crop_to_aspect_ratio", crop_to_aspect_ratio)
    checks.boolean("skip_damaged", skip_damaged)
    part, parts = check_shard(shard, batch_size, drop_remainder)
    file = arrays.file_of(source)
    folder = None if file else sources.folder_of(source, data_dir)
    if file or folder:
        read = arrays.read_file if file else read_folder
        return read(
            file or folder,
            split,
            size=size,
            layers_for=lambda shape: _augmentation(augment, shape, one_hot),
            one_hot=checks.boolean("one_hot", one_hot),
            batch_size=batch_size,
            shuffle=shuffle,
            seed=checks.non_negative_int("seed", seed),
            drop_remainder=checks.boolean("drop_remainder", drop_remainder),
            workers=checks.positive_int("workers", workers),
            shard=shard,
            **({} if file else {"crop": crop, "skip_damaged": skip_damaged}),
        )
    tf, tfds = sources.import_libraries()
    builder = sources.prepare(tfds, source, data_dir, download)
    image_key, label_key = sources.supervised_keys(tfds, builder)
    feature, label = builder.info.features[image_key], builder.info.features[label_key]
    shape = (*(size or feature.shape[:2]), feature.shape[2])
    if None in shape[:2]:
        raise ValueError(
            f"`size` must be given, since the images of {builder.info.full_name!r} differ in size. "
            f"Received: size={size}"
        )
    layers = _augmentation(augment, shape, one_hot)

    count = sources.count_examples(builder, split)
    # `tfds.ImageFolder` has a fixed order of its own, and would shuffle without a seed.
    fixed_order = isinstance(builder, tfds.ImageFolder)
    memory_each = int(tf.as_dtype(feature.np_dtype).size * shape[0] * shape[1] * (shape[2] or 3))
    small = count * memory_each <= MEMORY

    def decoded(files=None):
        dataset = builder.as_dataset(
            split=split,
            as_supervised=True,
            shuffle_files=files is not None and not fixed_order,
            # Without the guard, since data sets of a fixed order are shuffled too.
            read_config=tfds.ReadConfig(
                shuffle_seed=files, try_autocache=False, enable_ordering_guard=False
            ),
        )
        if size:
            dataset = dataset.map(_resizer(tf, size, crop), num_parallel_calls=tf.data.AUTOTUNE)
        return dataset

    kept = decoded().cache() if small else None

    def batches(order, files):
        dataset = kept if small else decoded(files if shuffle else None)
        if shuffle:
            # One more than there are: the buffer then meets the end of the data set, without which
            # a first batch alone would not complete the cache.
            buffer = min(count + 1, max(MEMORY // memory_each, batch_size))
            dataset = dataset.shuffle(buffer, order, reshuffle_each_iteration=False)
        if parts > 1:
            dataset = dataset.shard(parts, part)
        return dataset.batch(batch_size // parts, drop_remainder=drop_remainder).take(number)

    number = count // batch_size if drop_remainder else -(-count // batch_size)
    dataset, set_epoch = passes(tf, batches, seed, number, (part, parts))
    scale = _scaler(tf, split, label.num_classes if one_hot else None)
    augmented = _augmenter(tf, layers)
    dataset = dataset.map(
        lambda pair, draw: augmented(scale(*pair), draw), num_parallel_calls=tf.data.AUTOTUNE
    )
    dataset = dataset.prefetch(tf.data.AUTOTUNE)
    dataset.set_epoch = set_epoch
    return dataset


def class_names(source, data_dir=None):
    """Return the names of a data set's classes, in the order of its labels. Downloads nothing.

    Args:
        source: as in `keras_staa.data.images`.
        data_dir: optional path of the folder with prepared data sets.

    Returns:
        A list of strings.

    Raises:
        ImportError: if TensorFlow or TensorFlow Datasets is not installed.
        ValueError: if the data set is not in `data_dir`.

    Example:

    ```python
    keras_staa.data.class_names("cifar10")[3]  # "cat"
    ```
    """
    if (file := arrays.file_of(source)) is not None:
        return arrays.find_classes(file)
    if (folder := sources.folder_of(source, data_dir)) is not None:
        return find_pictures(folder).classes
    _, tfds = sources.import_libraries()
    builder = sources.prepare(tfds, source, data_dir, download=False)
    return list(builder.info.features[sources.supervised_keys(tfds, builder)[1]].names)


def _augmentation(augment, image_shape, one_hot):
    layers = augmenting.layers_of(augment, image_shape)
    if not one_hot and any(map(augmenting.mixes, layers)):
        raise ValueError(
            "`one_hot` must be True for keras.layers.MixUp and CutMix, which mix labels. "
            f"Received: one_hot={one_hot}"
        )
    return layers


def _resizer(tf, size, crop):
    def resize(image, label):
        if crop:
            height, width = tf.unstack(tf.shape(image)[:2])
            parts = central(width, height, size, least=tf.minimum, most=tf.maximum)
            left, top, right, bottom = parts
            image = image[top:bottom, left:right]
        resized = tf.image.resize(image, size, antialias=True)
        return tf.saturate_cast(tf.round(resized), image.dtype), label

    return resize


def _scaler(tf, split, classes):
    wanted = (
        "`split` must have labels, in whose place TensorFlow Datasets gives -1 where there are "
        f"none. Received: split={split!r} with"
    )

    def scale(batch, labels):
        batch = tf.cast(batch, "float32") / (batch.dtype.max if batch.dtype.is_integer else 1.0)
        with tf.control_dependencies([tf.debugging.assert_non_negative(labels, wanted)]):
            labels = tf.cast(labels, "int32") if classes is None else tf.one_hot(labels, classes)
        return batch, labels

    return scale


def _augmenter(tf, layers):
    """Apply layers with draws that follow from the batch's random number alone.

    A layer's own seed is a variable. Several batches in flight would race for it, and those read
    ahead and thrown away (Keras looks at a first batch to build a model) would advance it, each
    time by another number.
    """

    @tf.autograph.experimental.do_not_convert
    def apply(pair, draw):
        batch, labels = pair
        number, count = tf.cast(draw, "int64"), itertools.count(1)
        with _keras.draw_from(layers, lambda: tf.stack([number, next(count)])):
            batch, labels = augmenting.apply(layers, batch, labels)
        return tf.cast(batch, "float32"), labels

    return apply
