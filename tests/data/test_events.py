"""Event recordings from a folder to batches, against frames made of the events themselves."""

import errno
import json
import os
import pathlib
import pickle
import signal
import subprocess
import sys
import threading
import time
import warnings

import h5py
import keras
import numpy as np
import pytest

from keras_staa import data, file_lock
from keras_staa.data import (
    event_batches,
    event_sources,
    frame_journal,
    frames,
)
from tests.data.formats import files

CLASSES = ("2", "10", "cat")


def folder_of(folder, count=4, parts=("",), kind="nmnist", **arguments):
    """A folder of recordings; the seed of each is its place in its class."""
    suffix, writer, _ = files.FORMATS[kind]
    for part in parts:
        for label, name in enumerate(CLASSES):
            (folder / part / name).mkdir(parents=True)
            for index in range(count):
                made = files.events(300, seed=100 * label + index, **arguments)
                writer(folder / part / name / f"r{index}{suffix}", made)
    return folder


def expected(label, index, steps, by="time", size=(34, 34)):
    made = files.events(300, seed=100 * label + index)
    plan = frames.Plan((34, 34), steps, by, size)
    return next(frames.samples([made], plan))[1].astype("float32")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return folder_of(tmp_path_factory.mktemp("recordings"))


@pytest.fixture
def read(folder, tmp_path):
    def read(source=folder, steps=3, **arguments):
        options = {"cache_dir": tmp_path / "cache", "processes": 1, "verbose": False}
        return data.events(source, steps, **{**options, **arguments})

    return read


def joined(dataset):
    return [np.concatenate(parts) for parts in zip(*dataset, strict=True)]


def caches(folder):
    return sorted(path.suffix for path in (folder / "cache").iterdir() if path.suffix != ".lock")


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
        monkeypatch.setattr("keras_staa.data.event_batches._MEMORY", 0)
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


def test_locks_are_removed_and_still_lock(tmp_path, request):
    path, inside, most = tmp_path / "a.lock", [], []
    # Threads change between any two steps, so that one removes what another looks at.
    interval = sys.getswitchinterval()
    request.addfinalizer(lambda: sys.setswitchinterval(interval))
    sys.setswitchinterval(1e-6)

    def work():
        for _ in range(300):
            with file_lock.alone(path):
                inside.append(1)
                time.sleep(0.00001)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(most) == {1} and len(most) == 1200
    assert not path.exists()


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

    class Noted(event_batches.Frames):
        def __getitem__(self, index):
            batch = super().__getitem__(index)
            seen[-1].append((index, batch))
            return batch

        def on_epoch_end(self):
            super().on_epoch_end()
            seen.append([])

    # The function of this name hides its module.
    monkeypatch.setattr(sys.modules["keras_staa.data.events"], "Frames", Noted)
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


def test_the_cache_is_used_again_and_never_for_something_else(read, tmp_path, folder):
    read()
    (path,) = (tmp_path / "cache").iterdir()
    made = path.stat().st_mtime_ns
    read(batch_size=7, augment="standard", seed=9)
    assert path.stat().st_mtime_ns == made and caches(tmp_path) == [".h5"]
    for changed in ({"steps": 4}, {"by": "count"}, {"size": 17}, {"split": "train[:2]"}):
        count = len(caches(tmp_path))
        read(**changed)
        assert len(caches(tmp_path)) == count + 1
    with h5py.File(path) as file:
        assert json.loads(file.attrs["parameters"])["steps"] == 3
        assert file["frames"].chunks == (1, 3, 34, 34, 2) and file["frames"].compression == "gzip"
        np.testing.assert_array_equal(file["frames"][5], expected(1, 1, 3))
        assert file.attrs["fingerprint"] == read().description["fingerprint"]


def test_fingerprint_is_of_contents_and_names(read, tmp_path):
    one, other = folder_of(tmp_path / "a" / "set"), folder_of(tmp_path / "b" / "set")
    os.utime(other / "2" / "r0.bin", (1, 1))
    first = read(one)
    assert read(other).fingerprint == first.fingerprint
    assert caches(tmp_path) == [".h5"]
    files.nmnist(other / "2" / "r0.bin", files.events(300, seed=7))
    changed = read(other, shuffle=False)
    assert changed.fingerprint != first.fingerprint and caches(tmp_path) == [".h5", ".h5"]
    np.testing.assert_array_equal(changed[0][0][0], expected(0, 7, 3))
    (other / "2" / "r0.bin").rename(other / "2" / "r9.bin")
    assert read(other).fingerprint not in (first.fingerprint, changed.fingerprint)


@pytest.mark.parametrize("place", [10, 600, 0.5, -1, "cut", "empty"])
def test_a_damaged_cache_is_reported_and_built_again(read, tmp_path, place):
    wanted = joined(read(shuffle=False))
    (path,) = (tmp_path / "cache").glob("*.h5")
    raw = bytearray(path.read_bytes())
    if isinstance(place, str):
        raw = raw[: len(raw) // 2 if place == "cut" else 0]
    else:
        raw[int(place * len(raw)) if isinstance(place, float) else place] ^= 1
    path.write_bytes(raw)
    with pytest.warns(UserWarning, match=f"{path.name} is damaged"):
        found = joined(read(shuffle=False))
    for a, b in zip(wanted, found, strict=True):
        np.testing.assert_array_equal(a, b)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read()


KILLED = """
import time
from keras_staa.data import events, frame_journal
add = frame_journal.Journal.add
def slow(self, *record):
    add(self, *record)
    print(len(self.done), flush=True)
    time.sleep(0.02)
frame_journal.Journal.add = slow
events({source!r}, 3, cache_dir={cache!r}, processes={processes}, verbose=False)
"""


@pytest.mark.parametrize("processes", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_a_killed_build_goes_on(read, folder, tmp_path, processes, monkeypatch):
    code = KILLED.format(source=str(folder), cache=str(tmp_path / "cache"), processes=processes)
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    while int(child.stdout.readline()) < 5:
        pass
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert caches(tmp_path) == [".partial"]
    (partial,) = (tmp_path / "cache").glob("*.partial")
    with open(partial, "ab") as file:
        file.write(b"KSJ1 cut off")
    added, add = [], frame_journal.Journal.add
    monkeypatch.setattr(
        frame_journal.Journal, "add", lambda *record: (added.append(1), add(*record))
    )
    found, _ = joined(read(shuffle=False))
    assert 0 < len(added) <= 7 and caches(tmp_path) == [".h5"]
    for place in range(12):
        np.testing.assert_array_equal(found[place], expected(place // 4, place % 4, 3))


@pytest.mark.slow
def test_killed_at_any_moment_there_is_a_whole_cache_or_none(read, folder, tmp_path):
    code = KILLED.format(source=str(folder), cache=str(tmp_path / "cache"), processes=1)
    code = code.replace("0.02", "0")
    for moment in np.linspace(0, 0.06, 12):
        child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        child.stdout.readline()
        time.sleep(moment)
        child.kill()
        child.wait()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert len(joined(read())[0]) == 12
        for path in (tmp_path / "cache").iterdir():
            path.unlink()


@pytest.mark.slow
def test_two_builders_at_once_make_one_cache(folder, tmp_path):
    code = KILLED.format(source=str(folder), cache=str(tmp_path / "cache"), processes=1)
    children = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for _ in range(2)
    ]
    lines = [child.communicate()[0].split() for child in children]
    assert [child.returncode for child in children] == [0, 0]
    assert sorted(map(len, lines)) == [0, 12]
    assert caches(tmp_path) == [".h5"]


@pytest.mark.parametrize("limit", [pytest.param(3000, marks=pytest.mark.slow), 10_000])
def test_a_full_disk_is_an_error_and_the_next_call_goes_on(folder, tmp_path, read, limit):
    pytest.importorskip("resource")
    code = f"""
import resource, sys
from keras_staa.data import events
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
try:
    events({str(folder)!r}, 3, cache_dir={str(tmp_path / "cache")!r}, processes=1, verbose=False)
except OSError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "No room on the disk" in done.stdout and "recordings are done and kept" in done.stdout
    assert caches(tmp_path) == [".partial"]
    assert len(joined(read())[0]) == 12


def test_a_disk_that_fills_before_the_file_is_made(read, tmp_path, monkeypatch):
    usage = type("usage", (), {"free": 10})
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    with pytest.raises(OSError, match="12 of 12 recordings are done") as caught:
        read()
    assert caught.value.errno == errno.ENOSPC and caches(tmp_path) == [".partial"]
    monkeypatch.undo()
    read()
    assert caches(tmp_path) == [".h5"]


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-2]), r"truncated.*3 too many"),
        (lambda path: path.write_bytes(b""), "must hold events. Received: a file without any"),
        (lambda path: path.write_bytes(bytes([40, 0, 0, 0, 1])), r"every x in \[0, 33\]"),
    ],
)
def test_a_bad_recording_is_named_and_the_others_are_kept(
    read, tmp_path, damage, message, processes
):
    folder = folder_of(tmp_path / "set")
    bad = folder / "cat" / "r3.bin"
    good = bad.read_bytes()
    damage(bad)
    with pytest.raises(ValueError, match=f"cat/r3.bin.*{message}"):
        read(folder, processes=processes)
    bad.write_bytes(good)
    if "truncated" not in message:  # Which is seen before anything is read.
        with frame_journal.Journal(next((tmp_path / "cache").glob("*.partial"))) as journal:
            assert len(journal.done) > 0
    assert len(read(folder).cache.names) == 12


@pytest.mark.parametrize("processes", [1, 2])
def test_events_out_of_order_are_sorted_with_a_warning(read, tmp_path, processes):
    folder = folder_of(tmp_path / "set")
    made = files.events(300, seed=0)
    made["t"] = np.arange(300)
    files.nmnist(folder / "2" / "r0.bin", made[np.r_[1, 0, 2:300]])
    with pytest.warns(UserWarning, match="r0.bin: 1 of 300 events"):
        found = read(folder, shuffle=False, processes=processes)[0][0][0]
    plan = frames.Plan((34, 34), 3, "time", (34, 34))
    np.testing.assert_array_equal(found, next(frames.samples([made], plan))[1])


def test_an_empty_class_a_stray_file_and_no_class(read, tmp_path):
    folder = folder_of(tmp_path / "set")
    (folder / "2" / "notes.txt").write_text("note")
    with pytest.warns(UserWarning, match="1 files are no recordings.*notes.txt"):
        read(folder)
    (folder / "void").mkdir()
    with (
        pytest.raises(ValueError, match="Received: source=.*none in .*void"),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        read(folder)
    (tmp_path / "nothing").mkdir()
    with pytest.raises(ValueError, match="must hold a folder for each class"):
        read(tmp_path / "nothing")


@pytest.mark.parametrize("processes", [1, 2])
def test_mixed_sensor_sizes_are_an_error_with_both_files(read, tmp_path, processes):
    folder = folder_of(tmp_path / "set")
    files.aedat2(folder / "cat" / "r9.aedat", files.events())
    found = r"2/r0.bin with \(34, 34\), cat/r9.aedat with \(128, 128\)"
    with pytest.raises(ValueError, match=found):
        read(folder, processes=processes)


def test_files_that_state_no_sensor_get_one_for_all_splits(read, tmp_path):
    folder = folder_of(tmp_path / "set", kind="npy", parts=("train",), size=(20, 20))
    folder_of(folder, kind="npy", parts=("test",), size=(30, 25))
    assert read(folder).sensor_size == read(folder, split="test").sensor_size == (30, 25)
    assert read(folder, sensor_size=(40, 40))[0][0].shape == (12, 3, 40, 40, 2)


@pytest.mark.parametrize("kind", ["aedat2", "aedat3", "aedat4", "npz", "h5", "mat"])
def test_formats_of_one_content_give_the_same_frames(read, tmp_path, kind):
    made, sensor = files.events(300), files.FORMATS[kind][2] or (34, 34)
    (tmp_path / "set" / "one").mkdir(parents=True)
    files.write(tmp_path / "set" / "one", kind, made)
    dataset = read(tmp_path / "set", sensor_size=sensor, shuffle=False)
    plan = frames.Plan(sensor, 3, "time", sensor)
    np.testing.assert_array_equal(dataset[0][0][0], next(frames.samples([made], plan))[1])


class Objects:
    """A data set as those of tonic are, in memory."""

    sensor_size = (34, 34, 2)
    classes = {"b": 1, "a": 0}
    targets = [1, 0, 1, 0]

    def __len__(self):
        return 4

    def __getitem__(self, index):
        made = files.events(300, seed=index)
        given = np.empty(300, [("t", "u8"), ("x", "i2"), ("y", "i2"), ("p", "?")])
        for name in "xytp":
            given[name] = made[name]
        return given, self.targets[index]


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_an_object_of_events_and_targets(read, processes):
    dataset = read(Objects(), processes=processes)
    assert dataset.classes == ["a", "b"] and not dataset.shuffle
    frames_, labels = dataset[0]
    assert labels.tolist() == [0, 0, 1, 1]
    for place, index in enumerate([1, 3, 0, 2]):
        np.testing.assert_array_equal(frames_[place], expected(0, index, 3))
    with pytest.raises(ValueError, match=r"`split` must be one of \['all'\] of Objects.*'train'"):
        read(Objects(), split="train")


class Labelled(Objects):
    """The same with other targets and classes."""

    def __init__(self, targets, classes=None):
        self.targets, self.classes = targets, classes


@pytest.mark.parametrize(
    "targets, classes, names, labels",
    [
        (np.array([1, 0, 2, 0], "uint8"), ["x", "a", "c"], ["x", "a", "c"], [1, 0, 2, 0]),
        ([np.int64(1), 0, 1, True], ("x", "a"), ["x", "a"], [1, 0, 1, 1]),
        (keras.ops.convert_to_tensor([1, 0, 2, 0]), None, ["0", "1", "2"], [1, 0, 2, 0]),
        ([1, 0, 2, 0], {"z": 2, "a": np.int32(0), "b": 1}, ["a", "b", "z"], [1, 0, 2, 0]),
        (["b", "a", "b", "c"], None, ["a", "b", "c"], [1, 0, 1, 2]),
        # One of which it has no recording, in an order of its own.
        (np.array(["b", "a", "b", "a"]), np.array(["c", "b", "a"]), ["c", "b", "a"], [1, 2, 1, 2]),
    ],
)
def test_targets_of_objects(targets, classes, names, labels):
    source = event_sources.find(Labelled(targets, classes), None)
    assert source.classes == names
    found = {r.address[1]: r.label for r in source.splits["all"]}
    assert [found[index] for index in range(4)] == labels


@pytest.mark.parametrize("classes", [["a", "b", "c"], {"a": 0, "b": 1, "c": 2}])
@pytest.mark.parametrize(
    "targets, found",
    [
        ([0, -1, 1, 2], r"targets\[1\]=-1"),
        ([0, 1, 2, 3], r"targets\[3\]=3"),
        ([0, 1, 2, 1.7], r"targets\[3\]=1.7"),
        (np.array([0.0, 1, 2, 1]), r"targets\[0\]=np.float64\(0.0\)"),
        (np.eye(4, 3), r"targets\[0\]=array\(\[1., 0., 0.\]\)"),
        (np.eye(4, 3, dtype=int).tolist(), r"targets\[0\]=\[1, 0, 0\]"),
        ([0, 1, None, 1], r"targets\[2\]=None"),
        ([0, 1, "a", 1], r"targets\[2\]='a'"),
        (["a", "b", 1, "a"], r"targets\[2\]=1"),
        (["a", "b", "d", "a"], r"targets\[2\]='d'"),
        ([b"a", b"b", b"c", b"a"], r"targets\[0\]=b'a'"),
        ([0, 1], "2 targets for 4 recordings"),
        ([], "0 targets for 4 recordings"),
        (None, "0 targets for 4 recordings"),
    ],
)
def test_other_targets_are_refused(read, targets, classes, found):
    wanted = r"`source` must have `targets`.*integers in \[0, 3\), or strings.*"
    with pytest.raises(ValueError, match=f"{wanted}source=Labelled with {found}"):
        read(Labelled(targets, classes))


def test_targets_without_classes_have_a_bound(read):
    with pytest.raises(ValueError, match=r"\[0, 65536\).*targets\[2\]=10000000000"):
        read(Labelled([0, 1, 10**10, 1]))


@pytest.mark.parametrize(
    "classes", [{"a": 1, "b": 2}, {0: "b", 1: "a"}, {"a": 0, "b": 0}, ["a", "a"], 2, "ab"]
)
def test_classes_of_objects_that_give_no_order_are_refused(read, classes):
    with pytest.raises(ValueError, match="`classes` of `source` must be .*classes="):
        read(Labelled([1, 0, 1, 0], classes))


def test_a_name_that_is_a_folder_too_is_refused(read, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        event_sources, "_of_name", lambda *_: pytest.fail("the data set is downloaded")
    )
    folder = folder_of(tmp_path / "nmnist", count=2)
    with pytest.raises(ValueError, match="`source` must be a name or a folder.*") as error:
        read("nmnist")
    assert repr(str(folder)) in str(error.value) and "'./nmnist'" in str(error.value)
    for path in ("./nmnist", folder.relative_to(tmp_path), folder):
        assert len(read(path).cache.names) == 6


def test_a_folder_that_tonic_cannot_write_to_is_named(read, tmp_path, monkeypatch):
    tonic = pytest.importorskip("tonic")

    def make(save_to, **_):
        os.makedirs(os.path.join(save_to, "NMNIST"))

    monkeypatch.setattr(tonic.datasets, "NMNIST", make)
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OSError, match="data set 'nmnist' is not in data_dir=.*file/data'") as error:
        read("nmnist", data_dir=tmp_path / "file" / "data")
    assert isinstance(error.value.__cause__, NotADirectoryError)


def test_the_folder_that_tonic_made_is_no_other_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(event_sources, "_of_name", lambda name, where: (name, where))
    (tmp_path / "NMNIST").mkdir()
    os.symlink("NMNIST", "nmnist")  # As where file names have no case.
    assert event_sources.find("nmnist", ".") == ("nmnist", pathlib.Path("."))


def test_names_stand_for_the_classes_of_tonic(read, monkeypatch):
    tonic = pytest.importorskip("tonic")

    class NMNIST(Objects):
        def __init__(self, save_to, train):
            self.train = train

    class CIFAR10DVS(Objects):
        targets = [0] * 10 + [1] * 20

        def __init__(self, save_to):
            pass

        def __len__(self):
            return 30

    monkeypatch.setattr(tonic.datasets, "NMNIST", NMNIST)
    monkeypatch.setattr(tonic.datasets, "CIFAR10DVS", CIFAR10DVS)
    assert [len(read("nmnist", split=s).cache.names) for s in ("train", "test", "all")] == [4, 4, 8]
    train, test = read("cifar10_dvs"), read("cifar10_dvs", split="test")
    assert np.bincount(train.cache.labels).tolist() == [9, 18]
    assert test.cache.names == ["9", "28", "29"]
    for kind, _, _ in event_sources.NAMES.values():
        assert hasattr(tonic.datasets, kind)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"source": "nowhere"}, "`source` must be one of .*'nowhere'"),
        ({"source": 3}, "`source` must be .*source=3"),
        ({"steps": 0}, "`steps` must be a positive integer"),
        ({"by": "both"}, r"`by` must be one of \['time', 'count'\]"),
        ({"split": "test"}, r"`split` must be one of \['train', 'all'\].*'all\[:90%\]'.*'test'"),
        ({"split": "train[:1%]"}, "`split` must leave recordings of each class.*class '2'"),
        ({"split": "train[0.5:]"}, "`split` must be"),
        ({"size": 35}, r"`size` must be at most the sensor's \(34, 34\).*\(35, 35\)"),
        ({"size": (1, 2, 3)}, "`size` must be an integer or"),
        ({"window": -1}, "`window` must be a positive number"),
        ({"stride": 1}, "`stride` must be None without `window`"),
        ({"window": 1e-6}, "a microsecond for each step"),
        ({"augment": "mirror"}, "`augment` must be one of"),
        ({"augment": keras.layers.RandomContrast(0.1)}, "`augment` must be .*'RandomFlip', 'R"),
        (
            {"augment": keras.layers.RandomFlip(), "use_multiprocessing": True},
            "`use_multiprocessing` must be False with layers of keras.layers",
        ),
        ({"augment": data.FrameMixUp()}, "`one_hot` must be True"),
        ({"seed": -1}, "`seed` must be a non-negative integer"),
        ({"batch_size": 0}, "`batch_size` must be a positive integer"),
        ({"processes": 0}, "`processes` must be a positive integer"),
        ({"shuffle": 1}, "`shuffle` must be True or False"),
    ],
)
def test_errors_name_the_argument(read, arguments, message):
    with pytest.raises(ValueError, match=message):
        read(**arguments)


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
