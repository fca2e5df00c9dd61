"""Folders of pictures as batches, against Pillow and NumPy, and without TensorFlow."""

import os
import pathlib
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest

from keras_staa import data
from tests.data.support import CLASSES, check_mixtures, joined, mixing

Image = pytest.importorskip("PIL.Image")
SIZE = (8, 10)


def arrays(count=4, size=SIZE, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (len(CLASSES), count, *size, 3), dtype="uint8")


def written(folder, pictures, parts=("",)):
    for part in parts:
        for name, members in zip(CLASSES, pictures, strict=True):
            (folder / part / name).mkdir(parents=True)
            for index, picture in enumerate(members):
                Image.fromarray(picture).save(folder / part / name / f"{index}.png")
    return folder


@pytest.fixture
def folder(tmp_path):
    return written(tmp_path / "photos", arrays())


@pytest.mark.parametrize("memory", [True, False])
def test_pictures_are_those_of_the_files(folder, memory, monkeypatch):
    if not memory:
        monkeypatch.setattr("keras_staa.data.image.folder.MEMORY", 0)
    dataset = data.images(folder, shuffle=False, batch_size=5)
    assert isinstance(dataset, keras.utils.PyDataset)
    assert dataset.classes == data.class_names(folder) == list(CLASSES)
    assert [len(labels) for _, labels in dataset] == [5, 5, 2]
    x, y = joined(dataset)
    assert (x.dtype, y.dtype) == ("float32", "int32")
    np.testing.assert_array_equal(x, arrays().reshape(12, *SIZE, 3).astype("float32") / 255)
    np.testing.assert_array_equal(y, np.repeat([0, 1, 2], 4))
    whole = data.images(folder, shuffle=False, batch_size=5, drop_remainder=True, one_hot=True)
    assert [len(labels) for _, labels in whole] == [5, 5]
    np.testing.assert_array_equal(joined(whole)[1], np.eye(3, dtype="float32")[y[:10]])


@pytest.mark.parametrize("layer", mixing(), ids=lambda layer: layer.name)
def test_mixtures_have_the_labels_of_their_parts(tmp_path, layer):
    levels = np.array([50, 100, 200])
    pictures = np.full((3, 4, *SIZE, 3), levels[:, None, None, None, None], "uint8")
    flip = keras.layers.RandomFlip("horizontal")
    options = {"batch_size": 12, "one_hot": True, "augment": [flip, layer]}
    images, labels = joined(data.images(written(tmp_path, pictures), **options))
    assert ((labels > 0.01) & (labels < 0.99)).any()
    check_mixtures(images, labels, levels / 255)


def test_the_order_follows_from_seed_and_epoch(folder):
    x = arrays().reshape(12, -1)
    place = {picture.tobytes(): k for k, picture in enumerate(x)}

    def order(dataset):
        pictures = np.rint(joined(dataset)[0] * 255).astype("uint8").reshape(12, -1)
        return [place[picture.tobytes()] for picture in pictures]

    dataset = data.images(folder, batch_size=5, seed=3)
    first = order(dataset)
    # The same on every backend: NumPy's generator says so.
    assert first == np.random.default_rng((3, 0)).permutation(12).tolist()
    dataset.on_epoch_end()
    second = order(dataset)
    assert sorted(second) == list(range(12)) and second != first
    again = data.images(folder, batch_size=5, seed=3)
    again.set_epoch(0)
    assert order(again) == second
    assert order(data.images(folder, batch_size=5, seed=4)) != first


@pytest.mark.heavy
def test_augmentation_follows_from_seed_epoch_and_batch(folder):
    plain = joined(data.images(folder, shuffle=False))[0]

    def read(**more):
        options = {"augment": "strong", "shuffle": False, "batch_size": 5, "seed": 3}
        return data.images(folder, **{**options, **more})

    dataset = read()
    first = joined(dataset)[0]
    assert first.dtype == "float32" and first.min() >= 0 and first.max() <= 1
    assert not np.allclose(first, plain)
    np.testing.assert_array_equal(joined(read())[0], first)
    # A batch alone, whatever was drawn before.
    np.testing.assert_array_equal(dataset[1][0], first[5:10])
    dataset.on_epoch_end()
    assert not np.array_equal(joined(dataset)[0], first)
    assert not np.array_equal(joined(read(seed=4))[0], first)
    own = joined(read(augment=[keras.layers.RandomFlip("horizontal", seed=1)]))[0]
    for picture, flipped in zip(plain, own, strict=True):
        assert any(np.allclose(flipped, p, atol=1e-6) for p in (picture, picture[:, ::-1]))


@pytest.mark.heavy
def test_several_workers_give_the_batches_of_one(folder):
    """`fit` asks several threads for batches; a layer's seeds are those of one batch at a time."""
    import concurrent.futures

    dataset = data.images(folder, augment="strong", batch_size=2, seed=1)
    expected = [x for x, _ in dataset]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda i: dataset[i % 6][0], range(24)))
    for i, x in enumerate(found):
        np.testing.assert_array_equal(x, expected[i % 6])


def test_splits(tmp_path):
    folder = written(tmp_path / "a", arrays(10), parts=("train", "val"))
    assert len(joined(data.images(folder, "train"))[1]) == 30
    assert len(joined(data.images(folder, "validation"))[1]) == 30
    with pytest.raises(ValueError, match=r"`split` must be one of .'train', 'validation', 'all'."):
        data.images(folder, "test")
    plain = written(tmp_path / "b", arrays(10))
    x, y = joined(data.images(plain, "train[:90%]", shuffle=False))
    held, labels = joined(data.images(plain, "train[90%:]"))
    assert np.bincount(y).tolist() == [9, 9, 9] and np.bincount(labels).tolist() == [1, 1, 1]
    np.testing.assert_array_equal(x[:9], arrays(10)[0, :9].astype("float32") / 255)


def test_hidden_files_and_others_are_left_out(folder):
    (folder / ".ipynb_checkpoints").mkdir()
    (folder / "cat" / ".hidden.png").write_bytes(b"")
    (folder / "cat" / "notes.txt").write_text("none")
    with pytest.warns(UserWarning, match="1 files are no pictures.*notes.txt"):
        assert data.images(folder).classes == list(CLASSES)


def test_pictures_of_all_kinds(tmp_path):
    """Grey, transparent, 16 bits, turned by the camera: as RGB of 8 bits and upright."""
    (tmp_path / "one").mkdir()
    grey = np.arange(80, dtype="uint8").reshape(8, 10)
    Image.fromarray(grey).save(tmp_path / "one" / "0.png")
    Image.fromarray(grey.astype("uint16") * 257).save(tmp_path / "one" / "1.png")
    turned = Image.fromarray(np.rot90(grey))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(tmp_path / "one" / "2.png", exif=exif)
    Image.fromarray(grey).convert("RGBA").save(tmp_path / "one" / "3.webp", lossless=True)
    x, _ = joined(data.images(tmp_path, shuffle=False))
    for picture in x:
        np.testing.assert_array_equal(np.rint(picture * 255), np.stack([grey] * 3, -1))


def test_sizes(tmp_path):
    folder = written(tmp_path / "photos", arrays(1))
    larger = arrays(1, (16, 20))[0, 0]
    Image.fromarray(larger).save(folder / "cat" / "7.png")
    with pytest.raises(ValueError, match=r"`size` must be given.*\(8, 10\).*\(16, 20\) in .*7.png"):
        data.images(folder)
    x, _ = joined(data.images(folder, size=SIZE, shuffle=False))
    expected = Image.fromarray(larger).resize((10, 8), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(np.rint(x[-1] * 255), np.asarray(expected))


def test_a_picture_that_cannot_be_read_is_named(folder):
    path = folder / "cat" / "1.png"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(ValueError, match=r"`source` must hold .*cat.1\.png, which is unread"):
        data.images(folder, size=SIZE)
    path.write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"`source` must hold .*cat.1\.png, which is unread"):
        data.images(folder)


@pytest.mark.parametrize("arguments", [{"batch_size": 0}, {"seed": -1}, {"one_hot": 1}])
def test_arguments(folder, arguments):
    (name,) = arguments
    with pytest.raises(ValueError, match=f"`{name}` must be"):
        data.images(folder, **arguments)


def test_a_folder_is_known_by_its_name_alone(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    for path in ("photos", "./photos", pathlib.Path("photos"), str(folder)):
        assert data.images(path).classes == list(CLASSES)
    with pytest.raises(ValueError, match="`source` must be the path of a folder.*'./nothing'"):
        data.images("./nothing")


PROGRAM = """
    import sys
    from importlib.machinery import PathFinder

    find = PathFinder.find_spec

    def without(name, *args, **kwargs):
        missing = name.split(".")[0] in ("tensorflow", "tensorflow_datasets")
        return None if missing else find(name, *args, **kwargs)

    PathFinder.find_spec = without
    import keras, keras_staa

    train = keras_staa.data.images(sys.argv[1], "train[:75%]", augment="standard", batch_size=4)
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    history = model.fit(train, epochs=2, verbose=0)
    print(len(train), len(history.history["loss"]), "tensorflow" in sys.modules)
    try:
        keras_staa.data.images("cifar10")
    except ImportError as error:
        print("pip install keras-staa[data,tensorflow]" in str(error))
"""


@pytest.mark.skipif(keras.backend.backend() == "tensorflow", reason="needs TensorFlow itself")
def test_trains_without_tensorflow(folder):
    command = [sys.executable, "-c", textwrap.dedent(PROGRAM), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == ["3", "2", "False", "True"]
