"""Damaged files of every format give a recording or a ValueError, and nothing else."""

import random
import time
import warnings

import numpy as np
import pytest

from keras_staa.data import formats
from keras_staa.data.formats import process
from tests.data.formats import files

pytestmark = pytest.mark.once

FEW, MANY, MOST = 20, 200, 2000
EXTREMES = [b"\0" * 4, b"\xff" * 4, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80"]


def mutated(data, draw):
    """Some bytes changed, cut out, doubled, put in or cut off."""
    data = bytearray(data)
    for _ in range(draw.choice([1, 1, 1, 2, 5, 20])):
        # Half of the damage near the start, where the headers are.
        end = max(1, min(len(data), draw.choice([200, len(data)])))
        place, length = draw.randrange(end), draw.randrange(1, 30)
        kind = draw.randrange(6)
        if kind == 0:
            data[place : place + 1] = bytes([draw.randrange(256)])
        elif kind == 1 and place < len(data):
            data[place] ^= 1 << draw.randrange(8)
        elif kind == 2:
            extreme = draw.choice(EXTREMES)
            data[place : place + len(extreme)] = extreme
        elif kind == 3:
            del data[place : place + length]
        elif kind == 4:
            data[place:place] = data[place : place + length]
        elif draw.random() < 0.3:
            del data[place:]
    return bytes(data)


def try_many(name, folder, count, seed):
    """How many damaged files gave a recording, how many an error, and how many ended a process."""
    path = files.write(folder, name)
    whole, draw = path.read_bytes(), random.Random(f"{name} {seed}")
    outcomes = {"recording": 0, "error": 0, "death": 0}
    for number in range(count):
        path.write_bytes(mutated(whole, draw))
        start = time.monotonic()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if number % 4:
                    recording = formats.read(path)
                    pieces, size = [recording.events], recording.sensor_size
                else:
                    stream = formats.chunks(path, 16)
                    pieces, size = list(stream), stream.sensor_size
        except ValueError as error:
            assert str(path) in str(error), f"file {number}"
            outcomes["death" if "process ended" in str(error) else "error"] += 1
        else:
            check(np.concatenate(pieces), size)
            outcomes["recording"] += 1
        assert time.monotonic() - start < process.SECONDS, f"file {number}"
    return outcomes


def check(events, size):
    assert events.dtype == formats.DTYPE
    assert len(events)
    assert (np.diff(events["t"]) >= 0).all()
    assert events["y"].max() < size[0] and events["x"].max() < size[1]
    assert events["p"].max() <= 1


@pytest.mark.parametrize("name", files.FORMATS)
def test_damaged_file_gives_events_or_an_error(name, tmp_path):
    outcomes = try_many(name, tmp_path, FEW, seed=0)
    assert sum(outcomes.values()) == FEW
    assert outcomes["error"] > 0


# What libraries read is read by a process that each error ends.
@pytest.mark.slow
@pytest.mark.parametrize("name", files.FORMATS)
@pytest.mark.parametrize("count", [MANY, pytest.param(MOST, marks=pytest.mark.release)])
def test_many_damaged_files_give_events_or_an_error(name, count, tmp_path, record_property):
    outcomes = try_many(name, tmp_path, count, seed=1)
    record_property("outcomes", outcomes)
    print(f"{name}: {outcomes}")
    assert sum(outcomes.values()) == count
