"""Real recordings: the counts that are known of them, and tonic's events where it can read them."""

import importlib.util
import json
import struct
import tarfile
import zipfile

import numpy as np
import pytest

from keras_staa.data import formats
from keras_staa.data.event.layouts import find_layout
from tests import real

pytestmark = pytest.mark.once

NMNIST_TRAIN = [97, 116, 99, 93, 105, 92, 94, 117, 87, 100]
NMNIST_TEST = [8, 14, 8, 11, 14, 7, 10, 15, 2, 11]
OBJECTS = ["box", "box_cutter", "mechanical_pencil", "mug", "scissors"]


def unpacked(name, factory):
    archive = real.FOLDER / name
    if not archive.is_file():
        pytest.skip(f"no recordings: {archive} is absent; set KERAS_STAA_TEST_DATA")
    folder = factory.mktemp(name.split(".")[0])
    if name.endswith(".zip"):
        with zipfile.ZipFile(archive) as file:
            file.extractall(folder)
    else:
        with tarfile.open(archive) as file:
            file.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="session")
def nmnist(tmp_path_factory):
    return unpacked("nmnist1k.tar.xz", tmp_path_factory)


@pytest.fixture(scope="session")
def objects(tmp_path_factory):
    return unpacked("dvs128_objects.tar.xz", tmp_path_factory)


@pytest.fixture(scope="session")
def inputs(tmp_path_factory):
    return unpacked("reader_inputs.zip", tmp_path_factory)


@pytest.fixture(scope="session")
def samples(tmp_path_factory):
    return unpacked("event_samples.tar.xz", tmp_path_factory) / "event_samples"


def same(events, of_tonic):
    assert len(events) == len(of_tonic)
    for name in "xytp":
        np.testing.assert_array_equal(events[name], of_tonic[name])


def test_nmnist(nmnist):
    for part, counts in (("Train", NMNIST_TRAIN), ("Test", NMNIST_TEST)):
        for digit, count in enumerate(counts):
            assert len(list((nmnist / part / str(digit)).glob("*.bin"))) == count
    recordings = [formats.read(path) for path in sorted(nmnist.glob("*/*/*.bin"))]
    assert len(recordings) == 1100
    lengths = [len(recording) for recording in recordings]
    assert (min(lengths), max(lengths)) == (1069, 7152)
    durations = [recording.duration for recording in recordings]
    assert min(durations) > 290_000 and max(durations) < 315_000


def test_nmnist_is_that_of_tonic(nmnist):
    io = pytest.importorskip("tonic.io")
    from tonic.datasets import NMNIST

    for path in nmnist.glob("*/*/*.bin"):
        same(formats.read(path).events, io.read_mnist_file(path, dtype=NMNIST.dtype))


def decoded(addresses, times):
    """Events of a DVS128 by jAER's meaning of an address, one by one."""
    return np.array(
        [
            (127 - (address >> 1 & 127), address >> 8 & 127, time, 1 - (address & 1))
            for address, time in zip(addresses.tolist(), times.tolist(), strict=True)
        ],
        formats.DTYPE,
    )


def test_dvs128_objects(objects):
    paths = sorted(objects.glob("*/*/recording.aedat"))
    assert [path.parent.name for path in paths] == OBJECTS * 2
    recordings = [formats.read(path) for path in paths]
    lengths = [len(recording) for recording in recordings]
    assert (min(lengths), max(lengths)) == (126_164, 518_133)
    assert {recording.sensor_size for recording in recordings} == {(128, 128)}
    for path, recording in zip(paths, recordings, strict=True):
        assert 18e6 < recording.duration < 36.5e6
        chunks = list(formats.chunks(path, 50_000))
        np.testing.assert_array_equal(np.concatenate(chunks), recording.events)


def test_dvs128_objects_have_the_words_that_tonic_reads(objects):
    io = pytest.importorskip("tonic.io")
    for path in sorted(objects.glob("*/*/recording.aedat")):
        version, start, _ = io.read_aedat_header_from_file(str(path))
        words = io.get_aer_events_from_file(str(path), version, start)
        events = formats.read(path).events
        np.testing.assert_array_equal(events, decoded(words["address"], words["timeStamp"]))


# By name: how many events, and the sensor.
INPUTS = {
    "aedat2_dvs128_foam90.aedat": (1575, (128, 128)),
    "aedat31_synthetic_12_events.aedat": (12, None),
    "aedat4_dvxplorer_lite_sample.aedat4": (111_954, (240, 320)),
    "aedat1_tmpdiff_grasp2007.dat": (48_100, (128, 128)),
    "evt2_sample_first_64KiB.raw": (16_292, (480, 640)),
    "evt3_pedestrians.raw": (5000, (720, 1280)),
    "prophesee_dat2_ncars_tonic.dat": (2009, None),
    "prophesee_dat_ncars_obj_004397.dat": (4407, None),
    "nmnist_single_tonic.bin": (4325, (34, 34)),
    "stmnist_tonic.mat": (2346, (10, 10)),
}


@pytest.mark.parametrize("name", INPUTS)
def test_reader_inputs(name, inputs):
    if name.endswith(".aedat4"):
        pytest.importorskip("aedat")
    if name.endswith(".mat"):
        pytest.importorskip("scipy")
    recording = formats.read(inputs / name)
    count, size = INPUTS[name]
    assert len(recording) == count
    assert (recording.sensor_size if recording.stated else None) == size


def test_aedat1(inputs, tmp_path):
    path = tmp_path / "a.aedat"
    path.write_bytes(data := (inputs / "aedat1_tmpdiff_grasp2007.dat").read_bytes())
    recording = formats.read(path)
    assert len(recording) == 48_100
    body = data[-48_100 * 6 :]
    words = np.array(list(struct.iter_unpack(">HI", body)))
    np.testing.assert_array_equal(recording.events, decoded(words[:, 0], words[:, 1]))


def test_aedat31_is_that_of_tonic(inputs):
    io = pytest.importorskip("tonic.io")
    path = inputs / "aedat31_synthetic_12_events.aedat"
    version, start, _ = io.read_aedat_header_from_file(str(path))
    words = io.get_aer_events_from_file(str(path), version, start)
    data, events = words["address"], formats.read(path).events
    np.testing.assert_array_equal(events["t"], words["timeStamp"])
    np.testing.assert_array_equal(events["x"], data >> 17)
    np.testing.assert_array_equal(events["y"], data >> 2 & 0x7FFF)
    np.testing.assert_array_equal(events["p"], data >> 1 & 1)


def test_aedat4_is_that_of_tonic(inputs):
    io = pytest.importorskip("tonic.io")
    pytest.importorskip("aedat")
    path = inputs / "aedat4_dvxplorer_lite_sample.aedat4"
    same(formats.read(path).events, io.read_aedat4(str(path)))


def test_davis_without_events(inputs):
    with pytest.raises(ValueError, match="davis346_header_only.aedat must hold events"):
        formats.read(inputs / "aedat2_davis346_header_only.aedat")


PROPHESEE = {
    "evt2_sample_first_64KiB.raw": "evt2",
    "evt3_pedestrians.raw": "evt3",
    "prophesee_dat2_ncars_tonic.dat": "dat",
    "prophesee_dat_ncars_obj_004397.dat": "dat",
}


@pytest.mark.parametrize("name", PROPHESEE)
def test_prophesee_is_that_of_expelliarmus(name, inputs):
    wizard = pytest.importorskip("expelliarmus").Wizard(encoding=PROPHESEE[name])
    events, decoded = formats.read(inputs / name).events, wizard.read(inputs / name)
    assert len(events) == len(decoded)
    for field in "xyp" if PROPHESEE[name] == "evt3" else "xytp":
        np.testing.assert_array_equal(events[field], decoded[field])
    if PROPHESEE[name] == "evt3":
        # expelliarmus adds a turn of the lower 12 bits at each upper word that says the same again;
        # faery and evlib do not, and end with this time.
        assert (decoded["t"] - events["t"]).tolist() == sorted(
            (decoded["t"] - events["t"]).tolist()
        )
        assert np.all((decoded["t"] - events["t"]) % 4096 == 0)
        assert (events["t"][0], events["t"][-1]) == (5_840_504, 5_885_714)


def summed(events):
    """What `expected.json` says of events."""
    first, last = ([int(event[name]) for name in "xytp"] for event in events[[0, -1]])
    sums = {f"sum_{name}": int(events[name].sum(dtype="int64")) for name in "xyt"}
    return {
        "events": len(events),
        "first": first,
        "last": last,
        "on": int(events["p"].sum()),
        **sums,
    }


def test_event_samples(samples):
    expected = json.loads((samples / "expected.json").read_text())
    for name, wanted in expected.items():
        if name.endswith(".aedat4") and not importlib.util.find_spec("aedat"):
            continue
        if not wanted["events"]:
            with pytest.raises(ValueError, match="one camera.*2 streams"):
                formats.read(samples / name)
            continue
        size = tuple(reversed(wanted["sensor"]))
        recording = formats.read(samples / name, sensor_size=size)
        got = summed(recording.events)
        assert got == {key: wanted[key] for key in got}, name
        assert recording.sensor_size == size


def test_trials_of_dvs128_gesture(samples):
    folder = samples / "dvs128_gesture_layout"
    wanted = json.loads((samples / "expected.json").read_text())
    wanted = wanted["dvs128_gesture_layout/user99_lamp.aedat"]["trials"]
    source = find_layout(folder)
    assert list(source.splits) == ["train"]
    assert len(source.splits["train"]) == len(wanted) == 3
    for recording, trial in zip(source.splits["train"], wanted, strict=True):
        table, index = recording.address
        events, label = source.tables[table][index]
        assert label == recording.label == trial["label"] - 1
        got = summed(events)
        assert got == {key: trial[key] for key in got}
