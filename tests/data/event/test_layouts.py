"""Folders whose classes stand in lists or in the names of files."""

import warnings

import h5py
import numpy as np
import pytest

import keras_staa
from keras_staa.data import formats
from keras_staa.data.event import layouts
from tests.data.formats import files

pytestmark = pytest.mark.once

SECOND = 10**6


def gesture(folder, name, trials, packets=20):
    """A recording of 10 s with its labels; its events, in time order."""
    made = files.events(2000, size=(128, 128))
    made["t"] = np.linspace(0, 10 * SECOND, 2000).astype(int)
    parts = [files.packet3(part) for part in np.array_split(made, packets)]
    (folder / f"{name}.aedat").write_bytes(files.HEADER3 + b"".join(parts))
    lines = ["class,startTime_usec,endTime_usec", *(f"{c},{s},{e}" for c, s, e in trials)]
    (folder / f"{name}_labels.csv").write_text("\r\n".join([*lines, ""]))
    return made


def frames(folder, cache, **options):
    return keras_staa.data.events(
        folder, steps=2, cache_dir=cache, processes=1, verbose=False, shuffle=False, **options
    )


@pytest.fixture
def gestures(tmp_path):
    folder = tmp_path / "DvsGesture"
    folder.mkdir()
    trials = {
        "user01_led": [(2, SECOND, 3 * SECOND), (1, 5 * SECOND, 6 * SECOND)],
        "user10_lab": [(11, 0, SECOND)],
        "user02_lab": [(2, 7 * SECOND, 9 * SECOND)],
    }
    made = {name: gesture(folder, name, rows) for name, rows in trials.items()}
    (folder / "trials_to_train.txt").write_text("user10_lab.aedat\nuser02_lab.aedat\n\n")
    (folder / "trials_to_test.txt").write_text("user01_led.aedat\r\n")
    return folder, made, trials


def test_dvs128_gesture_as_published(gestures, tmp_path):
    folder, made, trials = gestures
    expected = {"train": [("user02_lab", 0), ("user10_lab", 0)]}
    expected["test"] = [("user01_led", 1), ("user01_led", 0)]
    for split, order in expected.items():
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = frames(folder, tmp_path / "cache", split=split)
        x, y = found[0]
        assert found.classes == layouts.GESTURES
        assert y.tolist() == [trials[name][number][0] - 1 for name, number in order]
        for sample, (name, number) in zip(x, order, strict=True):
            _, start, end = trials[name][number]
            events = made[name]
            part = events[(events["t"] >= start) & (events["t"] < end)]
            counts = formats.Recording(part, (128, 128)).counts()
            np.testing.assert_array_equal(sample.sum(0), counts)


def test_trials_read_only_the_packets_that_they_need(gestures, monkeypatch):
    from keras_staa.data.formats import aedat3

    folder, made, _ = gestures
    read = []
    decode = aedat3._decode
    monkeypatch.setattr(aedat3, "_decode", lambda *args: read.append(len(args[1])) or decode(*args))
    events = layouts.trial(str(folder / "user01_led.aedat"), 5 * SECOND, 6 * SECOND)
    t = made["user01_led"]["t"]
    np.testing.assert_array_equal(events["t"], t[(t >= 5 * SECOND) & (t < 6 * SECOND)])
    assert sum(read) < 1000


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (("user02_lab_labels.csv", "class,start,end\n2,1,2\n"), "must start with the line class,"),
        (("user02_lab_labels.csv", None), "gestures listed in user02_lab_labels.csv"),
        (("user02_lab_labels.csv", "class,startTime_usec,endTime_usec\n12,1,2\n"), "from 1 to 11"),
        (("user02_lab_labels.csv", "class,startTime_usec,endTime_usec\n2,9,2\n"), "end after"),
        (("user02_lab_labels.csv", "class,startTime_usec,endTime_usec\n2,9\n"), "three numbers"),
        (("trials_to_train.txt", "user03_lab.aedat\n"), "user03_lab.aedat, which is not there"),
        (
            ("user02_lab_labels.csv", "class,startTime_usec,endTime_usec\n2,90000000,91000000\n"),
            "must hold events|must have events from 90000000",
        ),
    ],
)
def test_lists_of_gestures_that_are_wrong(gestures, change, text, tmp_path):
    name, content = change
    path = gestures[0] / name
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(ValueError, match=text):
        frames(gestures[0], tmp_path / "cache", split="train")


def test_recordings_that_no_list_names(gestures, tmp_path):
    (gestures[0] / "trials_to_test.txt").write_text("")
    with pytest.warns(UserWarning, match="1 recordings are in none of .*user01_led.aedat"):
        found = frames(gestures[0], tmp_path / "cache")
    assert sorted(found[0][1].tolist()) == [1, 10]
    with pytest.warns(UserWarning), pytest.raises(ValueError, match="`split` must be one of"):
        frames(gestures[0], tmp_path / "cache", split="test")


@pytest.mark.parametrize("nested", [True, False])
def test_dvs128_gesture_of_tonic(nested, tmp_path):
    root = tmp_path / "data"
    for split in ("Train", "Test") if nested else ("",):
        for label in (0, 10, 2):
            folder = root / f"ibmGesture{split}" / "user01_led" if nested else root / "user01_led"
            folder.mkdir(parents=True, exist_ok=True)
            made = files.events(3000, seed=label, size=(128, 128))
            # Milliseconds, as tonic has them.
            made["t"] = np.sort(np.random.default_rng(0).integers(500, size=3000))
            columns = [made[name].astype(float) for name in "xypt"]
            np.save(folder / f"{label}.npy", np.stack(columns, 1))
    found = frames(root, tmp_path / "cache")
    x, y = found[0]
    assert y.tolist() == [0, 2, 10]
    assert found.classes == layouts.GESTURES
    assert x.shape == (3, 2, 128, 128, 2) and x.sum() == 9000
    (folder / "eleven.npy").write_bytes(b"")
    with pytest.raises(ValueError, match="eleven.npy must have the label as its name, 0 to 10"):
        frames(root, tmp_path / "cache")


def digits(path, count, seed):
    """A file as SHD has them; the spikes of each recording as (times in ms, channels)."""
    rng, spikes = np.random.default_rng(seed), []
    with h5py.File(path, "w") as file:
        file["labels"] = np.arange(count)[::-1]
        times = file.create_dataset("spikes/times", (count,), h5py.vlen_dtype("f2"))
        units = file.create_dataset("spikes/units", (count,), h5py.vlen_dtype("u2"))
        for i in range(count):
            # Quarters of a second are exact in float16.
            at = np.sort(rng.integers(4, size=30))
            spikes.append((at * 250, rng.integers(700, size=30)))
            times[i], units[i] = (at / 4).astype("f2"), spikes[i][1].astype("u2")
        file["extra/keys"] = ["zero", "one"]
    return spikes


def test_spoken_digits(tmp_path):
    folder = tmp_path / "SHD"
    folder.mkdir()
    digits(folder / "shd_train.h5", 3, 0)
    spikes = digits(folder / "shd_test.h5", 4, 1)
    found = frames(folder, tmp_path / "cache", split="test")
    x, y = found[0]
    assert x.shape == (4, 2, 1, 700, 2)
    assert (y.tolist(), found.classes) == ([0, 1, 2, 3], ["0", "1", "2", "3"])
    for sample, (at, channels) in zip(x[::-1], spikes, strict=True):
        total = np.bincount(channels, minlength=700)
        np.testing.assert_array_equal(sample.sum(0)[0, :, 1], total)
        half = (at - at[0]) < (at[-1] - at[0]) // 2
        first = np.bincount(channels[half], minlength=700)
        np.testing.assert_array_equal(sample[0, 0, :, 1], first)
    assert x[..., 0].sum() == 0
    small = frames(folder, tmp_path / "cache", split="train", size=(1, 70))
    assert small[0][0].shape == (3, 2, 1, 70, 2) and small[0][0].sum() == 90


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda file: file.__delitem__("labels"), "spikes and labels"),
        (lambda file: file.__delitem__("spikes/units"), "as many labels as"),
        (lambda file: file["spikes/units"].__setitem__(0, np.array([700] * 30, "u2")), "channels"),
        (lambda file: file["spikes/units"].__setitem__(0, np.array([7], "u2")), "a channel for"),
        (lambda file: file["spikes/times"].__setitem__(0, np.array([np.nan] * 30, "f2")), "spikes"),
        (lambda file: file["labels"].__setitem__(0, -1), r"labels in \[0"),
    ],
)
def test_spoken_digits_that_are_wrong(change, text, tmp_path):
    path = tmp_path / "shd_train.h5"
    digits(path, 3, 0)
    with h5py.File(path, "a") as file:
        change(file)
    with pytest.raises(ValueError, match=f"shd_train.h5 must .*{text}"):
        frames(tmp_path, tmp_path / "cache")
