"""Data sets read through TensorFlow Datasets, against the arrays they were written from."""

import importlib
import pathlib
import warnings

import keras
import numpy as np
import pytest

from keras_staa import data
from tests.data.support import check_mixtures, mixing
from tests.real import prepare

tf = pytest.importorskip("tensorflow")
tfds = pytest.importorskip("tensorflow_datasets")

MODULE = importlib.import_module("keras_staa.data.image.reading")
NAMES = ["cat", "dog", "owl"]
SHAPE = (12, 20, 3)
LEVELS = np.array([50, 100, 200])
TRAIN, TEST = 11, 5


def arrays(split):
    count = {"train": TRAIN, "test": TEST}[split]
    rng = np.random.default_rng(count)
    return rng.integers(1, 256, (count, *SHAPE), dtype=np.uint8), np.arange(count) % len(NAMES)


class Tiny(tfds.core.GeneratorBasedBuilder):
    """Few images, in the order of `arrays`."""

    VERSION = tfds.core.Version("1.0.0")
    shape = SHAPE
    ordered = True
    target = tfds.features.ClassLabel(names=NAMES)

    def _info(self):
        features = {"image": tfds.features.Image(shape=self.shape), "label": self.target}
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "label"),
            disable_shuffling=self.ordered,
        )

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in ("train", "test")}

    def _generate_examples(self, split):
        for index, (image, label) in enumerate(zip(*arrays(split), strict=True)):
            yield index, {"image": self.resized(image, index), "label": label}

    def resized(self, image, index):
        return image


class Shards(Tiny):
    """In several files."""

    VERSION = tfds.core.Version("1.0.0")

    ordered = False


class Mixed(Tiny):
    """Images that differ in size."""

    VERSION = tfds.core.Version("1.0.0")
    shape = (None, None, 3)

    def resized(self, image, index):
        return image[: 12 - index]


class Alike(Tiny):
    """One image over and over."""

    VERSION = tfds.core.Version("1.0.0")

    def resized(self, image, index):
        return arrays("train")[0][0]


class Levels(Tiny):
    """Images of one value for each class."""

    VERSION = tfds.core.Version("1.0.0")

    def _generate_examples(self, split):
        for index, example in super()._generate_examples(split):
            image = np.full(SHAPE, LEVELS[example["label"]], "uint8")
            yield index, {**example, "image": image}


class Numbers(Tiny):
    """Images with a number in place of a class."""

    VERSION = tfds.core.Version("1.0.0")
    target = np.int64


class Unlabelled(Tiny):
    """One of its images has no label."""

    VERSION = tfds.core.Version("1.0.0")

    def _generate_examples(self, split):
        for index, example in super()._generate_examples(split):
            yield index, {**example, "label": -1 if index == 3 else example["label"]}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    path = tmp_path_factory.mktemp("tfds")
    tfds.disable_progress_bar()
    config = tfds.download.DownloadConfig(num_shards=2)
    for builder in (Tiny, Shards, Mixed, Alike, Levels, Numbers, Unlabelled):
        builder(data_dir=path).download_and_prepare(
            download_config=config if builder is Shards else None
        )
    return path


@pytest.fixture
def read(data_dir):
    def read(source="tiny", split="train", **arguments):
        return data.images(source, split, data_dir=data_dir, download=False, **arguments)

    return read


def numpy(dataset):
    return [tuple(part.numpy() for part in batch) for batch in dataset]


def joined(batches):
    return [np.concatenate(parts) for parts in zip(*batches, strict=True)]


@pytest.mark.parametrize("split, part", [("test", slice(None)), ("train[:8]", slice(8))])
def test_values_and_labels_are_those_written(read, split, part):
    # Only a split that starts with "train" is shuffled unasked.
    batches = numpy(read(split=split, batch_size=3, shuffle=None if split == "test" else False))
    expected, labels = arrays(split[:5].strip("["))
    found, classes = joined(batches)
    assert found.dtype == np.float32 and classes.dtype == np.int32
    np.testing.assert_allclose(found, expected[part] / 255.0, rtol=1e-6)
    np.testing.assert_array_equal(classes, labels[part])


def test_one_hot_labels(read):
    _, labels = joined(numpy(read(split="test", one_hot=True)))
    assert labels.dtype == np.float32
    np.testing.assert_array_equal(labels, np.eye(3)[arrays("test")[1]])


@pytest.mark.parametrize("drop, sizes", [(False, [4, 4, 3]), (True, [4, 4])])
def test_last_partial_batch(read, drop, sizes):
    batches = numpy(read(batch_size=4, drop_remainder=drop))
    assert [len(images) for images, _ in batches] == sizes


@pytest.mark.parametrize("memory", [2**30, 4000], ids=["in memory", "from files"])
def test_a_shuffled_pass_has_each_image_once_with_its_label(read, memory, monkeypatch):
    # The data set has a fixed order: `disable_shuffling` of TFDS.
    monkeypatch.setattr(MODULE, "MEMORY", memory)
    expected, labels = arrays("train")
    pairs = zip(expected, labels, strict=True)
    known = {image.tobytes(): (i, label) for i, (image, label) in enumerate(pairs)}
    orders = []
    dataset = read(batch_size=4)
    for _ in range(2):
        found, classes = joined(numpy(dataset))
        pairs = [known[np.rint(image * 255).astype("uint8").tobytes()] for image in found]
        assert [label for _, label in pairs] == classes.tolist()
        orders.append([index for index, _ in pairs])
        assert sorted(orders[-1]) == list(range(TRAIN)) != orders[-1]
    assert orders[0] != orders[1]


@pytest.mark.parametrize("augment", ["crop", "standard", "cutout"])
def test_images_of_one_batch_are_augmented_apart(read, augment):
    # The data set holds one image over and over.
    ((images, _),) = numpy(read("alike", batch_size=TRAIN, augment=augment))
    # 11 draws of the 81 crops: fewer than 6 that differ have a chance below 1e-6.
    assert images.shape == (TRAIN, *SHAPE) and images.dtype == np.float32
    assert len({image.tobytes() for image in images}) >= 6
    ((plain, _),) = numpy(read("alike", batch_size=TRAIN))
    assert len({image.tobytes() for image in plain}) == 1


@pytest.mark.parametrize("layer", mixing(), ids=lambda layer: layer.name)
def test_mixtures_have_the_labels_of_their_parts(read, layer):
    flip = keras.layers.RandomFlip("horizontal")
    options = {"batch_size": TRAIN, "one_hot": True, "augment": [flip, layer]}
    images, labels = joined(numpy(read("levels", **options)))
    assert ((labels > 0.01) & (labels < 0.99)).any()
    check_mixtures(images, labels, LEVELS / 255)
    with pytest.raises(ValueError, match="`one_hot` must be True for keras.layers.MixUp"):
        read("levels", augment=layer)


def test_the_seed_fixes_the_batches_and_passes_differ(read):
    def passes(seed):
        dataset = read("alike", batch_size=4, augment="standard", seed=seed)
        return [joined(numpy(dataset))[0] for _ in range(2)]

    first, again, other = passes(1), passes(1), passes(2)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first[0], other[0])


@pytest.mark.parametrize("memory", [2**30, 4000], ids=["in memory", "from files"])
def test_global_seeds_change_nothing(read, memory, monkeypatch):
    monkeypatch.setattr(MODULE, "MEMORY", memory)
    found = []
    try:
        for seed in (None, 0, 7):
            tf.random.set_seed(seed)
            found.append(joined(numpy(read("shards", batch_size=4, augment="crop", seed=1)))[0])
    finally:
        tf.random.set_seed(None)
    np.testing.assert_array_equal(found[1], found[0])
    np.testing.assert_array_equal(found[2], found[0])


def test_a_look_at_one_batch_changes_no_later_pass(read):
    whole, looked_at = (read(batch_size=4, augment="crop", seed=3) for _ in range(2))
    next(iter(looked_at))
    list(whole)
    np.testing.assert_array_equal(joined(numpy(looked_at))[0], joined(numpy(whole))[0])


@pytest.mark.parametrize("kept", [True, False], ids=["in memory", "from files"])
def test_an_epoch_can_be_set(read, kept, monkeypatch):
    """Its order and its augmentation, also behind `map`, whatever was read before."""
    if not kept:
        monkeypatch.setattr(MODULE, "MEMORY", 4000)
    options = {"augment": "standard", "batch_size": 4, "seed": 5}
    # Two files are read in an order of their own.
    dataset, other = (read("shards", **options) for _ in range(2))
    passes = [joined(numpy(dataset)) for _ in range(3)]
    assert not np.array_equal(passes[1][0], passes[2][0])
    derived = other.map(lambda images, labels: (2 * images, labels))
    for epoch in (2, 0, 1):
        next(iter(derived))
        other.set_epoch(epoch)
        found = joined(numpy(derived))
        np.testing.assert_array_equal(found[0], 2 * passes[epoch][0])
        np.testing.assert_array_equal(found[1], passes[epoch][1])
    assert len(dataset) == 3


def test_images_are_decoded_once(read, monkeypatch):
    """Each pass takes what is in memory, in another order."""
    decoded = tf.Variable(0, dtype="int64")

    def counting(tf, size):
        def count(image, label):
            decoded.assign_add(1)
            return image, label

        return count

    monkeypatch.setattr(MODULE, "_resizer", counting)
    dataset = read(size=SHAPE[:2], batch_size=4)
    next(iter(dataset))
    for _ in range(3):
        list(dataset)
    assert decoded.numpy() == TRAIN


def test_layers_as_augmentation(read):
    rescaling = keras.layers.Rescaling(0.5)
    expected = arrays("test")[0] / 255.0
    for augment, factor in ((rescaling, 0.5), ([rescaling, rescaling], 0.25)):
        found, _ = joined(numpy(read(split="test", augment=augment)))
        np.testing.assert_allclose(found, expected * factor, rtol=1e-6)


@pytest.mark.parametrize("size, side", [(6, (6, 6)), ((6, 10), (6, 10))])
def test_size(read, size, side):
    dataset = read(split="test", size=size)
    assert tuple(dataset.element_spec[0].shape) == (None, *side, 3)
    found, _ = joined(numpy(dataset))
    assert found.shape == (TEST, *side, 3)
    # A smoothing resize keeps the mean; sampling alone would be off by more.
    means = arrays("test")[0].mean((1, 2, 3)) / 255
    np.testing.assert_allclose(found.mean((1, 2, 3)), means, atol=0.01)


def test_images_that_differ_in_size_need_a_size(read):
    with pytest.raises(ValueError, match="`size` must be given.*'mixed/1.0.0'.*size=None"):
        read("mixed")
    found, _ = joined(numpy(read("mixed", size=8)))
    assert found.shape == (TRAIN, 8, 8, 3)


def test_a_builder_as_source(data_dir):
    found, _ = joined(numpy(data.images(Tiny(data_dir=data_dir), "test", download=False)))
    np.testing.assert_allclose(found, arrays("test")[0] / 255.0, rtol=1e-6)


def test_class_names(data_dir):
    assert data.class_names("tiny", data_dir=data_dir) == NAMES
    with pytest.raises(ValueError, match="`data_dir` must hold"):
        data.class_names("absent", data_dir=data_dir)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"source": "cifar10"}, "`data_dir` must hold the prepared data set 'cifar10'"),
        ({"source": "numbers"}, "`source` must be a data set of images with class labels"),
        ({"split": "validation"}, "`split` must be one of.*train.*Received: split='validation'"),
        ({"augment": "mirror"}, r"`augment` must be None, one of \['crop', 'standard'"),
        ({"augment": [1]}, r"`augment` must be None.*Received: augment=\[1\]"),
        ({"batch_size": 0}, "`batch_size` must be a positive integer"),
        ({"size": (8, 8, 3)}, "`size` must be an integer or"),
        ({"size": 0}, "`size` must be a positive integer"),
    ],
)
def test_errors_name_the_argument(read, data_dir, arguments, message):
    with pytest.raises(ValueError, match=message) as error:
        read(**arguments)
    if arguments.get("source") == "cifar10":
        assert str(data_dir) in str(error.value)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OSError, match="'tiny' is not in data_dir=.*file/data'.*not be downloaded"):
        data.images("tiny", data_dir=tmp_path / "file" / "data")


def test_unknown_to_tensorflow_datasets(data_dir):
    with pytest.raises(ValueError, match="`source` must be .*Received: source='no_such_data'"):
        data.images("no_such_data", data_dir=data_dir, download=True)


@pytest.mark.parametrize("one_hot", [False, True])
def test_an_image_without_a_label_is_an_error(read, one_hot):
    with pytest.raises(
        tf.errors.InvalidArgumentError, match="`split` must have labels.*split=.*test"
    ):
        numpy(read("unlabelled", "test", one_hot=one_hot))
    assert len(numpy(read("unlabelled", "test[:3]", one_hot=one_hot))) == 1


@pytest.mark.parametrize("path", ["./tiny", "../tiny", "{}/tiny", pathlib.Path("tiny"), 3])
def test_a_path_is_no_name(read, tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    path = path.format(tmp_path) if isinstance(path, str) else path
    with pytest.raises(ValueError, match="`source` must be the path of .*data set.*source="):
        read(path)


def test_a_folder_called_like_a_data_set_is_a_warning(read, data_dir, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny").mkdir()
    with pytest.warns(UserWarning, match="`source='tiny'` is the data set") as caught:
        read("tiny")
    assert repr(str(data_dir)) in str(caught[0].message)
    assert repr(str(tmp_path / "tiny")) in str(caught[0].message)
    # That of the data set itself.
    monkeypatch.chdir(data_dir)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read("tiny")


def test_a_folder_of_images_by_its_builder(tmp_path):
    images, labels = arrays("train")
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        path = tmp_path / "train" / NAMES[label] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(tf.io.encode_png(image).numpy())
    source = tfds.ImageFolder(str(tmp_path))
    found, classes = joined(numpy(data.images(source, size=SHAPE[:2], seed=1)))
    known = {image.tobytes(): label for image, label in zip(images, labels, strict=True)}
    back = [known[np.rint(image * 255).astype("uint8").tobytes()] for image in found]
    assert back == classes.tolist() and len(back) == TRAIN
    assert data.class_names(source) == NAMES
    (tmp_path / "train" / ".ipynb_checkpoints").mkdir()
    with pytest.raises(ValueError, match=r"no hidden folders.*\['.ipynb_checkpoints'\]"):
        data.images(tfds.ImageFolder(str(tmp_path)), size=8)


def small_network(shape, classes):
    layers = [keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(classes)]
    model = keras.Sequential(layers)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.01), loss)
    return model


def test_fit_takes_the_batches(read):
    model = small_network(SHAPE, 3)
    before = model.get_weights()[0]
    history = model.fit(read(batch_size=4, augment="standard"), epochs=2, verbose=0)
    assert np.all(np.isfinite(history.history["loss"]))
    assert not np.array_equal(before, model.get_weights()[0])


@pytest.mark.slow
def test_cifar10(tmp_path):
    prepare(tmp_path)

    def read(split, **more):
        return data.images("cifar10", split, data_dir=tmp_path, download=False, **more)

    assert data.class_names("cifar10", tmp_path)[2:5] == ["bird", "cat", "deer"]
    assert len(data.class_names("cifar10", tmp_path)) == 10
    total, count, classes = np.zeros(3), 0, np.zeros(10)
    for images, labels in read("train", batch_size=1000, shuffle=False):
        total += images.numpy().astype("float64").mean((1, 2)).sum(0)
        count += len(images)
        classes += np.bincount(labels.numpy(), minlength=10)
    assert count == 50_000 and classes.tolist() == [5000] * 10
    np.testing.assert_allclose(total / count, [0.4914, 0.4822, 0.4465], atol=1e-4)
    tests = np.concatenate([labels.numpy() for _, labels in read("test")])
    assert np.bincount(tests).tolist() == [1000] * 10
    model = small_network((32, 32, 3), 10)
    history = model.fit(read("train", augment="standard").take(1), verbose=0)
    assert np.isfinite(history.history["loss"][0])
