"""Frames of events, against frames counted by hand and those of tonic."""

import tracemalloc

import numpy as np
import pytest

from keras_staa.data import formats
from keras_staa.data.event import frames
from keras_staa.data.formats import DTYPE
from tests import real
from tests.data.formats import files

pytestmark = pytest.mark.once

SENSOR = (34, 34)


def plan(steps=4, by="time", size=SENSOR, window=None, stride=None, sensor=SENSOR):
    return frames.Plan(sensor, steps, by, size, window, stride)


def counted(events, steps_of, steps, size=SENSOR, sensor=SENSOR):
    """Frames by a loop over the events."""
    result = np.zeros((steps, *size, 2), int)
    for (x, y, _, p), step in zip(events.tolist(), steps_of, strict=True):
        result[step, y * size[0] // sensor[0], x * size[1] // sensor[1], p] += 1
    return result


def one(events, plan):
    ((start, result),) = frames.samples([events], plan)
    assert start == 0
    return result


@pytest.mark.parametrize("steps", [1, 3, 10])
@pytest.mark.parametrize("count", [1, 2, 40, 999])
def test_by_time_each_step_has_its_share_of_the_duration(steps, count):
    events = files.events(count)
    t = events["t"] - events["t"][0]
    steps_of = np.minimum(t // max(t[-1] // steps, 1), steps - 1)
    result = one(events, plan(steps))
    np.testing.assert_array_equal(result, counted(events, steps_of, steps))
    assert result.sum() == count


@pytest.mark.parametrize("steps", [1, 3, 10])
@pytest.mark.parametrize("count", [2, 40, 999])
def test_by_count_each_step_has_its_share_of_the_events(steps, count):
    events = files.events(count)
    steps_of = np.minimum(np.arange(count) // max(count // steps, 1), steps - 1)
    result = one(events, plan(steps, "count"))
    np.testing.assert_array_equal(result, counted(events, steps_of, steps))


@pytest.mark.parametrize("size", [(17, 17), (10, 25), (1, 1)])
def test_a_smaller_frame_adds_up_and_loses_no_event(size):
    events = files.events(500)
    full, small = one(events, plan(3)), one(events, plan(3, size=size))
    expected = np.zeros((3, *size, 2), int)
    for y in range(34):
        for x in range(34):
            expected[:, y * size[0] // 34, x * size[1] // 34] += full[:, y, x]
    np.testing.assert_array_equal(small, expected)
    assert small.sum() == 500


@pytest.mark.parametrize("count, dtype", [(255, "u1"), (256, "u2"), (70_000, "u4")])
def test_counts_are_as_wide_as_they_must_be(count, dtype):
    events = np.zeros(count, DTYPE)
    result = one(events, plan(1))
    assert result.dtype == dtype and result[0, 0, 0, 0] == count


@pytest.mark.parametrize("by", ["time", "count"])
@pytest.mark.parametrize("window, stride", [(None, None), (30, 30), (30, 7), (10, 25), (999, 9)])
@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_pieces_give_what_the_whole_gives(by, window, stride, piece, monkeypatch):
    monkeypatch.setattr(frames, "_HELD", 20)
    events = files.events(120)
    chosen = plan(3, by, window=window, stride=stride)
    pieces = [events[i : i + piece] for i in range(0, 120, piece)]
    whole, parts = ([*frames.samples(chunks, chosen)] for chunks in ([events], pieces))
    assert len(whole) == len(parts)
    for (start, expected), (at, found) in zip(whole, parts, strict=True):
        assert start == at
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("window, stride", [(30, 30), (30, 7), (10, 25), (999, 9)])
def test_windows_have_the_events_of_their_time(window, stride):
    events = files.events(120)
    t = events["t"] - events["t"][0]
    expected = {}
    for start in range(0, max(int(t[-1]) - window, 0) + 1, stride):
        inside = (t >= start) & (t < start + window)
        if inside.any():
            step = np.minimum((t[inside] - start) // (window // 3), 2)
            expected[start] = counted(events[inside], step, 3)
    found = dict(frames.samples([events], plan(3, window=window, stride=stride)))
    assert list(found) == list(expected)
    for start in expected:
        np.testing.assert_array_equal(found[start], expected[start])


def test_a_window_without_events_is_left_out():
    events = files.events(3)
    events["t"] = [0, 5, 45]
    found = list(frames.samples([events], plan(2, window=10, stride=10)))
    assert [start for start, _ in found] == [0]
    assert found[0][1].sum() == 2


def tonic_frames(events, **arguments):
    """tonic's frames as (steps, height, width, 2)."""
    tonic = pytest.importorskip("tonic")
    made = tonic.transforms.ToFrame(sensor_size=(*SENSOR[::-1], 2), **arguments)(events)
    return made.transpose(0, 2, 3, 1)


def assert_those_of_tonic(events, steps):
    """Equal to tonic's, and the last frame has besides what tonic leaves out."""
    t = events["t"] - events["t"][0]
    last_time = t[-1] // steps * steps
    last_count = len(events) // steps * steps
    for by, rest, arguments in (
        ("time", events[t >= last_time], {"n_time_bins": steps}),
        ("count", events[last_count:], {"n_event_bins": steps}),
    ):
        expected = tonic_frames(events, **arguments).astype(int)
        expected[-1] += counted(rest, np.zeros(len(rest), int), 1)[0]
        np.testing.assert_array_equal(one(events, plan(steps, by)), expected)


@pytest.mark.parametrize("steps", [1, 4, 10])
@pytest.mark.parametrize("count", [50, 1000])
def test_frames_are_those_of_tonic(steps, count):
    assert_those_of_tonic(files.events(count), steps)


@pytest.mark.parametrize("window, stride", [(300, 300), (300, 100)])
def test_windows_are_those_of_tonic(window, stride):
    slicers = pytest.importorskip("tonic.slicers")
    events = files.events(1000)
    slicer = slicers.SliceByTime(time_window=window, overlap=window - stride)
    slices, _ = slicer.slice(events, None)
    found = list(frames.samples([events], plan(1, window=window, stride=stride)))
    assert len(found) == len(slices)
    for (_, counts), expected in zip(found, slices, strict=True):
        np.testing.assert_array_equal(counts, counted(expected, [0] * len(expected), 1))


def test_real_recordings_have_the_frames_of_tonic(tmp_path):
    tonic = pytest.importorskip("tonic")
    for path in real.nmnist(tmp_path, "Test/[0-9]/*.bin")[:20]:
        events = tonic.io.read_mnist_file(path, dtype=tonic.datasets.NMNIST.dtype)
        np.testing.assert_array_equal(formats.read(path).events["t"], events["t"])
        assert_those_of_tonic(formats.read(path).events, 10)


@pytest.mark.parametrize("window", [None, 40])
@pytest.mark.parametrize("by", ["time", "count"])
def test_pieces_make_the_frames_of_the_whole(by, window, monkeypatch):
    chosen = plan(3, by, window=window, stride=window and 25)
    made = [files.events(100)[:60], files.events(100)[60:]]
    whole = list(frames.samples(made, chosen))
    monkeypatch.setattr(frames, "_PIECE", 7)
    for (start, a), (again, b) in zip(frames.samples(made, chosen), whole, strict=True):
        assert start == again
        np.testing.assert_array_equal(a, b)


def test_counting_takes_memory_for_a_piece_alone():
    made = files.events(1_000_000)
    tracemalloc.start()
    try:
        list(frames.samples([made], plan(3)))
        assert tracemalloc.get_traced_memory()[1] < made.nbytes
    finally:
        tracemalloc.stop()
