"""Frames of a live camera, against those of a finished recording."""

import numpy as np
import pytest

from keras_staa.data.event.frames import Plan, samples
from keras_staa.data.formats import DTYPE
from keras_staa.streaming import LiveFrames

pytestmark = pytest.mark.once

SENSOR, SIZE = (20, 30), (10, 15)


def events(count=4000, last=300_000, seed=0):
    rng = np.random.default_rng(seed)
    made = np.zeros(count, DTYPE)
    made["x"], made["y"] = rng.integers(30, size=count), rng.integers(20, size=count)
    made["p"], made["t"] = rng.integers(2, size=count), np.sort(rng.integers(last, size=count))
    return made


@pytest.mark.parametrize("size", [None, SIZE])
@pytest.mark.parametrize("pieces", [1, 7, 4000])
def test_frames_are_those_of_the_recording(pieces, size):
    made = events()
    live = LiveFrames(SENSOR, duration=0.01, size=size)
    found = [f for part in np.array_split(made, pieces) for f in live.push(part)]
    plan = Plan(SENSOR, 4, "time", size or SENSOR, window=40_000, stride=40_000)
    for number, (start, frames) in enumerate(samples([made], plan)):
        assert start == number * 40_000
        np.testing.assert_array_equal(found[4 * number : 4 * number + 4], frames)
    assert number == 6
    rest = live.flush()
    assert sum(int(f.sum()) for f in found) + rest.sum() == len(made)


@pytest.mark.parametrize("pieces", [1, 40])
def test_frames_as_shares_of_the_largest_count_so_far(pieces):
    made = events(400)
    # A busy pixel in the first frames, and a pause longer than the largest count is kept.
    made["x"][:60], made["y"][:60] = 3, 4
    made["t"][200:] += 100_000
    counts = LiveFrames(SENSOR, duration=0.01).push(made)
    live = LiveFrames(SENSOR, duration=0.01, normalize=4)
    found = [f for part in np.array_split(made, pieces) for f in live.push(part)]
    most = [frame.max() for frame in counts]
    assert len(found) == len(counts) > 30 and 0 in most
    for number, (frame, wanted) in enumerate(zip(found, counts, strict=True)):
        largest = max(most[max(0, number - 3) : number + 1])
        np.testing.assert_allclose(frame, wanted / max(largest, 1), rtol=1e-6)
        assert frame.dtype == "float32"
    live.reset()
    live.push(np.array([(1, 1, 0, 1)], DTYPE))
    assert live.flush()[1, 1, 1] == 1


def test_a_pause_has_empty_frames():
    made = np.array([(1, 1, 5, 1), (2, 2, 10_000_005, 0)], DTYPE)
    live = LiveFrames(SENSOR, duration=0.001)
    found = live.push(made)
    assert len(found) == 10_000 and found[0].sum() == 1
    assert not any(f.any() for f in found[1:])
    # The second event begins the frame after them.
    assert live.flush()[2, 2].tolist() == [1, 0]
    assert not live.flush().any()


def test_nothing_yet():
    live = LiveFrames(SENSOR, duration=0.001)
    assert live.push(np.zeros(0, DTYPE)) == []
    assert live.flush().shape == (*SENSOR, 2) and not live.flush().any()


def test_reset_begins_with_the_next_event():
    live = LiveFrames(SENSOR, duration=0.001)
    live.push(np.array([(1, 1, 5000, 1)], DTYPE))
    live.reset()
    # Earlier than what came before, as after a change of the camera.
    assert live.push(np.array([(1, 1, 0, 1), (1, 1, 999, 1)], DTYPE)) == []
    assert live.flush().sum() == 2


def test_bad_input():
    with pytest.raises(ValueError, match="`size` must not be larger than the sensor"):
        LiveFrames(SENSOR, duration=0.01, size=(40, 40))
    with pytest.raises(ValueError, match="`duration` must be"):
        LiveFrames(SENSOR, duration=0)
    with pytest.raises(ValueError, match="`duration` must be at least a microsecond"):
        LiveFrames(SENSOR, duration=1e-8)
    with pytest.raises(ValueError, match="`normalize` must be a positive integer"):
        LiveFrames(SENSOR, duration=0.01, normalize=0)
    live = LiveFrames(SENSOR, duration=0.01)
    with pytest.raises(ValueError, match="`events` must be a structured array"):
        live.push(np.zeros((3, 4)))
    for event, name in (((30, 0, 0, 0), "x from 0 to 29"), ((0, 20, 0, 0), "y from 0 to 19")):
        with pytest.raises(ValueError, match=f"`events` must have {name}"):
            live.push(np.array([event], DTYPE))
    with pytest.raises(ValueError, match="`events` must be sorted by t"):
        live.push(np.array([(0, 0, 9, 0), (0, 0, 3, 0)], DTYPE))
    for field in ("x", "y", "t", "p"):
        kinds = [(name, "f4" if name == field else "i4") for name in ("x", "y", "t", "p")]
        with pytest.raises(ValueError, match=f"`events` must have whole numbers as {field}"):
            live.push(np.array([(0, 0, 0, 0)], kinds))
    live.push(np.array([(0, 0, 9, 0)], DTYPE))
    with pytest.raises(ValueError, match="no pause of more than 1000000 frames; call `reset`"):
        live.push(np.array([(0, 0, 2**40, 0)], DTYPE))
    with pytest.raises(ValueError, match="not be before those of the last call.*behind 9"):
        live.push(np.array([(0, 0, 3, 0)], DTYPE))
