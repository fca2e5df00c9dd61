"""Event recordings from a folder to batches, against frames made of the events themselves."""

import pickle
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_staa import data
from keras_staa.data.frame.batches import Frames
from tests.data.formats import files
from tests.data.support import CLASSES, expected, folder_of, joined


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("by, size", [("time", None), ("count", 16)])
def test_samples_are_those_of_the_files(read, by, size, processes):
    dataset = read(by=by, size=size, processes=processes, shuffle=False, batch_size=5)
    assert dataset.classes == list(CLASSES) and dataset.sensor_size == (34, 34)
    assert [len(labels) for _, labels in dataset] == [5, 5, 2]
    found, labels = joined(dataset)
    assert found.dtype == np.float32 and labels.dtype == np.int32
    np.testing.assert_array_equal(labels, np.repeat([0, 1, 2], 4))
    side = (size or 34, size or 34)
    for place in range(12):
        wanted = expected(place // 4, place % 4, 3, by, side)
        np.testing.assert_array_equal(found[place], wanted)


def test_labels_normalized_counts_and_whole_batches(read):
    plain, labels = joined(read(shuffle=False))
    found, one_hot = joined(read(shuffle=False, normalize=True, one_hot=True))
    np.testing.assert_array_equal(one_hot, np.eye(3, dtype="float32")[labels])
    np.testing.assert_allclose(found, plain / plain.max((1, 2, 3, 4), keepdims=True), rtol=1e-6)
    assert len(read(batch_size=5, drop_remainder=True)) == 2
    with pytest.raises(IndexError, match="Received: index=1"):
        read()[1]


@pytest.mark.parametrize("augment", [None, "strong", [data.FrameMixUp(seed=1)]])
def test_epochs_differ_and_come_again(read, augment):
    arguments = {"augment": augment, "batch_size": 4, "seed": 3, "one_hot": True}
    first, second = read(**arguments), read(**arguments)
    epochs = []
    for _ in range(3):
        # In another order, as workers read.
        backwards = [second[index] for index in (2, 1, 0)][::-1]
        epochs.append(joined(first))
        for a, b in zip(epochs[-1], joined(backwards), strict=True):
            np.testing.assert_array_equal(a, b)
        first.on_epoch_end()
        second.on_epoch_end()
    assert not np.array_equal(epochs[0][0], epochs[1][0])
    assert not np.array_equal(epochs[0][0], joined(read(**{**arguments, "seed": 4}))[0])
    if augment is None:
        assert epochs[0][0].sum() == epochs[1][0].sum() == 12 * 300


@pytest.mark.parametrize("memory", [True, False])
@pytest.mark.parametrize("processes", [True, False])
def test_several_workers_give_the_batches_of_one(read, processes, memory, monkeypatch):
    if not memory:
        monkeypatch.setattr("keras_staa.data.frame.batches.MEMORY", 0)
    from keras.src.trainers.data_adapters.py_dataset_adapter import PyDatasetAdapter

    arguments = {"batch_size": 4, "augment": "standard"}
    alone = read(**arguments)
    dataset = read(**arguments, workers=3, use_multiprocessing=processes)
    assert (dataset._counts is None) != memory
    adapter = PyDatasetAdapter(dataset)
    for _ in range(2):
        adapter.on_epoch_begin()
        found = list(adapter.get_numpy_iterator())
        adapter.on_epoch_end()
        for batch, wanted in zip(found, alone, strict=True):
            for a, b in zip(batch, wanted, strict=True):
                np.testing.assert_array_equal(a, b)
        alone.on_epoch_end()


@pytest.mark.parametrize("workers", [1, 3])
def test_layers_of_keras_move_all_steps_of_a_sample_alike(read, workers):
    layers = {
        "flip": keras.layers.RandomFlip("horizontal", seed=1),
        "translation": keras.layers.RandomTranslation(
            0.1, 0.1, fill_mode="constant", interpolation="nearest", seed=1
        ),
    }
    plain, _ = joined(read(shuffle=False))
    for name, layer in layers.items():
        dataset = read(shuffle=False, augment=layer, workers=workers)
        epochs = []
        for _ in range(2):
            epochs.append(joined(dataset)[0])
            np.testing.assert_array_equal(joined(dataset)[0], epochs[-1])
            dataset.on_epoch_end()
        drawn = set()
        for found in epochs:
            for sample, one in zip(found, plain, strict=True):
                if name == "flip":
                    possible = {True: one[:, :, ::-1], False: one}
                else:
                    wide = np.pad(one, ((0, 0), (4, 4), (4, 4), (0, 0)))
                    possible = {
                        (y, x): wide[:, 4 - y : 38 - y, 4 - x : 38 - x]
                        for y in range(-4, 5)
                        for x in range(-4, 5)
                    }
                drawn.add(next(k for k, v in possible.items() if np.array_equal(sample, v)))
        assert len(drawn) == 2 if name == "flip" else len(drawn) > 10


def test_pickled_data_set_reads_the_file_anew(read):
    dataset = read()
    packed = pickle.dumps(dataset)
    assert len(packed) < dataset._counts.nbytes / 4
    for a, b in zip(pickle.loads(packed)[0], dataset[0], strict=True):
        np.testing.assert_array_equal(a, b)


def test_fit_evaluate_and_predict(read):
    model = keras.Sequential(
        [keras.Input((3, 34, 34, 2)), keras.layers.Flatten(), keras.layers.Dense(3)]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, metrics=["accuracy"])
    train = read(batch_size=5, augment="strong")
    history = model.fit(train, validation_data=read(shuffle=False), epochs=2, verbose=0)
    assert np.isfinite(history.history["val_loss"]).all()
    assert model.predict(read(shuffle=False), verbose=0).shape == (12, 3)


@pytest.mark.parametrize("built", [True, False])
def test_fit_draws_the_same_on_every_backend(read, built, monkeypatch):
    """Some backends build the model with a first batch; the draws of the epochs are the same."""
    seen = [[]]

    class Noted(Frames):
        def __getitem__(self, index):
            batch = super().__getitem__(index)
            seen[-1].append((index, batch))
            return batch

        def on_epoch_end(self):
            super().on_epoch_end()
            seen.append([])

    # The function of this name hides its module.
    monkeypatch.setattr("keras_staa.data.frame.reading.Frames", Noted)
    arguments = {"batch_size": 5, "augment": "strong", "seed": 3}
    layers = [keras.layers.Flatten(), keras.layers.Dense(3, activation="softmax")]
    model = keras.Sequential([keras.Input((3, 34, 34, 2))] * built + layers)
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(read(**arguments), epochs=2, shuffle=False, verbose=0)
    epochs = seen[1:3]
    monkeypatch.undo()
    alone = read(**arguments)
    for epoch in epochs:
        alone.on_epoch_end()
        assert [index for index, _ in epoch] == [0, 1, 2]
        for index, batch in epoch:
            for a, b in zip(batch, alone[index], strict=True):
                np.testing.assert_array_equal(a, b)


def test_works_without_tensorflow(folder, tmp_path):
    if keras.backend.backend() == "tensorflow":
        pytest.skip("TensorFlow is the backend")
    code = f"""
import sys
sys.modules["tensorflow"] = None
import keras, keras_staa
train = keras_staa.data.events({str(folder)!r}, 3, cache_dir={str(tmp_path)!r}, augment="strong")
model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3, activation="softmax")])
model.compile("sgd", "sparse_categorical_crossentropy")
model.fit(train, verbose=0)
"""
    # Without a guard for the name of the module, which processes are not to need.
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_splits_are_slices_of_each_class(read):
    def names(split):
        return sorted(read(split=split).cache.names)

    first, rest = names("train[:75%]"), names("train[75%:]")
    assert first == sorted(f"{c}/r{i}.bin" for c in CLASSES for i in range(3))
    assert sorted(first + rest) == names("all") == names("train")
    assert names("all[1:2]") == sorted(f"{c}/r1.bin" for c in CLASSES)


def test_folders_of_splits_have_one_set_of_labels(read, tmp_path):
    folder = folder_of(tmp_path / "set", count=2, parts=("TRAIN", "test"))
    train, test = read(folder), read(folder, split="test")
    assert train.classes == test.classes == list(CLASSES)
    assert train.cache.names[0].startswith("TRAIN/") and test.cache.names[0].startswith("test/")
    assert train.fingerprint != test.fingerprint
    assert len(read(folder, split="all").cache.names) == 12
    assert train.description["split"] == "train"


def test_windows_of_a_recording_stay_in_its_split(read):
    parts = [read(split=s, window=1e-4, stride=5e-5) for s in ("train[:50%]", "train[50%:]")]
    assert all(len(part.cache.labels) > len(part.cache.names) == 6 for part in parts)
    assert not set(parts[0].cache.names) & set(parts[1].cache.names)
    cache = parts[0].cache
    assert set(np.diff(cache.starts)[np.diff(cache.recordings) == 0]) == {50}
    t = files.events(300, seed=0)["t"]
    assert (cache.recordings == 0).sum() == (t[-1] - t[0] - 100) // 50 + 1


def test_natural_order_of_names(read, tmp_path):
    folder = folder_of(tmp_path / "set", count=11)
    assert read(folder).cache.names[:11] == [f"2/r{i}.bin" for i in range(11)]


def test_taken_samples_are_those_of_the_whole(read):
    whole = read(shuffle=False, batch_size=5)
    frames, labels = joined(whole)
    places = np.array([7, 0, 11, 3, 8, 9])
    part = whole.take(places)
    assert len(part) == 2 and len(whole) == 3
    taken, classes = joined(part)
    np.testing.assert_array_equal(taken, frames[places])
    np.testing.assert_array_equal(classes, labels[places])
    names = [whole.cache.names[r] for r in whole.cache.recordings[places]]
    assert [part.cache.names[r] for r in part.cache.recordings] == names
    np.testing.assert_array_equal(joined(pickle.loads(pickle.dumps(part)))[0], taken)
    np.testing.assert_array_equal(joined(part.take([1, 4]))[0], taken[[1, 4]])
    assert part.description["samples"] == 6 and "samples" not in whole.description
    others = (whole, whole.take(places[::-1]), whole.take(places[:5]))
    assert part.fingerprint == part.description["split_fingerprint"]
    assert part.fingerprint == whole.take(list(places)).fingerprint
    assert part.fingerprint not in [other.fingerprint for other in others]


@pytest.mark.parametrize("indices", [[], [12], [-1], [0.5], [True] * 12, [[0, 1]]])
def test_what_is_taken_must_be_there(read, indices):
    with pytest.raises(ValueError, match="`indices` must be integers"):
        read().take(indices)
