"""What is wrong with a file is an error that names the file and says what is allowed."""

import h5py
import numpy as np
import pytest

from keras_staa.data import formats
from tests.data.formats import files
from tests.data.formats.support import rejected

pytestmark = pytest.mark.once


@pytest.mark.parametrize("name", files.FORMATS)
def test_file_without_events(name, tmp_path):
    rejected(files.write(tmp_path, name, files.events(0)), "must hold events")


@pytest.mark.parametrize("name", files.FORMATS)
def test_empty_file(name, tmp_path):
    path = files.write(tmp_path, name)
    path.write_bytes(b"")
    rejected(path, "must")


@pytest.mark.parametrize("name", files.FORMATS)
def test_truncated_file(name, tmp_path):
    path = files.write(tmp_path, name)
    data = path.read_bytes()
    event = {"nmnist": 5, "aedat1": 6, "aedat2": 8, "davis": 8, "dat": 8, "evt2": 4, "evt3": 2}
    event = event.get(name)
    for cut in (1, 6, 7, len(data) // 3, len(data) - 7):
        # What follows the packets of AEDAT 4 is a table that nothing here needs.
        cut += 5 if name == "aedat4" else 0
        if event and cut % event == 0:
            continue  # As good as a shorter recording.
        path.write_bytes(data[: len(data) - cut])
        rejected(path, "must")


@pytest.mark.parametrize("name", files.FORMATS)
def test_wrong_header(name, tmp_path):
    if name == "nmnist":
        pytest.skip("has no header")
    path = files.write(tmp_path, name)
    path.write_bytes(b"#!AER-DAT9.0\r\n" + path.read_bytes())
    rejected(path, "must (start with|be a whole)")
    path.write_bytes(bytes(1000))
    rejected(path, "must (start with|be a whole)")


@pytest.mark.parametrize("name", files.FORMATS)
def test_coordinates_outside_the_sensor(name, tmp_path):
    made = files.events()
    path = files.write(tmp_path, name, made)
    tall, wide = int(made["y"].max()) + 1, int(made["x"].max()) + 1
    size = (tall, wide)
    if name in ("nmnist", "npy", "table", "mat"):
        assert len(formats.read(path, sensor_size=size)) == 40
        rejected(path, rf"every y in \[0, {tall - 2}\]", sensor_size=(tall - 1, wide))
        rejected(path, rf"every x in \[0, {wide - 2}\]", sensor_size=(tall, wide - 1))
    else:
        with pytest.raises(ValueError, match=r"`sensor_size` must be that of .*\(34, 34\)|128"):
            formats.read(path, sensor_size=(tall - 1, wide))


@pytest.mark.parametrize(
    "name",
    ["nmnist", "aedat3", "aedat4", "dat", "evt2", "evt3", "npz", "h5", "metavision"],
)
@pytest.mark.parametrize("field", ["x", "y"])
def test_coordinates_outside_the_sensor_of_the_format(name, field, tmp_path):
    made = files.events()
    made[field][30] = 200
    path = files.write(tmp_path, name, made)
    rejected(path, rf"every {field} in \[0, (33|127)\], for a sensor of .*200")
    if name == "nmnist":  # The only one of these that states no sensor.
        rejected(path, "give `sensor_size`")


def test_coordinates_that_no_sensor_has(tmp_path):
    made = files.events()
    made["x"][3] = 60_000
    path = files.write(tmp_path, "npy", made)
    rejected(path, r"every x in \[0, 4095\].*`sensor_size`.*60000")
    assert formats.read(path, sensor_size=(34, 60_001)).sensor_size == (34, 60_001)


@pytest.mark.parametrize("name", ["aedat4", "dat", "npy", "npz", "h5", "metavision", "mat"])
@pytest.mark.parametrize("wrong", [2, 15])
def test_polarity_other_than_on_and_off(name, wrong, tmp_path):
    made = files.events()
    made["p"][30] = wrong
    path = files.write(tmp_path, name, made)
    if name == "aedat4":  # Its library gives whatever is not 0 as ON.
        assert len(formats.read(path)) == 40
    else:
        rejected(path, r"polarities in \{0, 1\} or in \{-1, 1\}")


def test_polarity_of_both_kinds(tmp_path):
    polarity = np.ones(40, int)
    # In different chunks.
    polarity[[2, 33]] = 0, -1
    arrays = {name: files.events()[name] for name in "xyt"}
    np.savez(tmp_path / "a.npz", p=polarity, **arrays)
    rejected(tmp_path / "a.npz", r"polarities in \{0, 1\} or in \{-1, 1\}")


@pytest.mark.parametrize("time", [0.5, np.nan, np.inf, -1e300])
def test_time_that_is_no_whole_microsecond(time, tmp_path):
    made = files.events()
    times = made["t"].astype(float)
    times[7] = time
    np.savez(tmp_path / "a.npz", t=times, **{name: made[name] for name in "xyp"})
    rejected(tmp_path / "a.npz", r"whole numbers as t \(microseconds\).* as event 7")


@pytest.mark.parametrize("kind", ["npz", "h5", "mat"])
def test_parts_of_different_lengths(kind, tmp_path):
    made, path = files.events(), tmp_path / f"a.{kind}"
    arrays = {name: made[name] for name in "xyt"} | {"p": made["p"][:25]}
    if kind == "mat":
        pytest.importorskip("scipy.io").savemat(path, arrays)
    elif kind == "npz":
        np.savez(path, **arrays)
    else:
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                file[name] = array
    rejected(path, "as many x as y, t and p")


@pytest.mark.parametrize("kind", ["npy", "npz", "h5", "mat"])
def test_parts_that_are_missing(kind, tmp_path):
    made, path = files.events(), tmp_path / f"a.{kind}"
    if kind == "mat":
        pytest.importorskip("scipy.io").savemat(path, {"x": made["x"], "t": made["t"]})
    elif kind == "h5":
        with h5py.File(path, "w") as file:
            file["x"], file["t"] = made["x"], made["t"]
    elif kind == "npz":
        np.savez(path, x=made["x"], t=made["t"])
    else:
        np.save(path, made["x"])
    rejected(path, "must have .*t/ts/timestamp/timestamps")


@pytest.mark.parametrize("size", [(0, 34), (34, 4097), (2**40, 34)])
@pytest.mark.parametrize("name", ["aedat4", "dat", "evt3", "npz", "h5"])
def test_sensor_that_a_file_cannot_have(name, size, tmp_path):
    path = files.write(tmp_path, name)
    if name == "aedat4":
        path.write_bytes(files.header4(size=size) + files.packet4(files.events()))
    elif name in ("dat", "evt3"):
        text = path.read_bytes()
        for stated in (b"Height 34", b"height=34"):
            text = text.replace(stated, stated[:-2] + str(size[0]).encode())
        for stated in (b"Width 34", b"width=34"):
            text = text.replace(stated, stated[:-2] + str(size[1]).encode())
        path.write_bytes(text)
        if size[0] > 10**9:  # No number of a sensor: as if nothing were stated.
            return
    elif name == "h5":
        with h5py.File(path, "a") as file:
            file["events"].attrs["height"], file["events"].attrs["width"] = size
    else:
        np.savez(path, **{n: files.events()[n] for n in "xytp"}, height=size[0], width=size[1])
    rejected(path, "must")


@pytest.mark.parametrize("times", [(-(2**63), 0), (0, 2**62), (-(2**62), 2**63 - 1)])
def test_times_whose_difference_is_none(times, tmp_path):
    np.savez(tmp_path / "a.npz", x=[0, 1], y=[0, 1], p=[0, 1], t=times)
    rejected(tmp_path / "a.npz", r"every t in \[-2\*\*62, 2\*\*62\)")


@pytest.mark.parametrize("size", [5, (34,), (34, 34, 2), (0, 34), (34.0, 34), (34, 2**16 + 1)])
def test_sensor_size_that_is_none(size, tmp_path):
    path = files.write(tmp_path, "nmnist")
    with pytest.raises(ValueError, match="`sensor_size` must be"):
        formats.read(path, sensor_size=size)


def test_path(tmp_path):
    with pytest.raises(ValueError, match=r"`path` must end with one of .*\.aedat4"):
        formats.read(tmp_path / "a.png")
    for suffix in formats.FORMATS:
        with pytest.raises(FileNotFoundError, match="absent"):
            formats.read(tmp_path / f"absent{suffix}")
    with pytest.raises(ValueError, match="`events` must be"):
        formats.chunks(files.write(tmp_path, "npy"), events=0)
