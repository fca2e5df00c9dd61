"""Damaged presets, signed anew, load as what they say or give a ValueError, and nothing else."""

import json
import pathlib
import random
import resource
import time
import warnings

import h5py
import keras
import numpy as np
import pytest

from keras_staa import zoo
from keras_staa.presets import weight_files
from tests.zoo.hostile import sign
from tests.zoo.support import saved, tiny, values

FEW, MANY, MOST = 24, 400, 2000
SECONDS, BYTES = 30, 1_000_000_000
EXTREMES = [0, -1, 2**31, 2**63, 10**30, 1e308, -0.0, "", "x", [], {}, None, True, [0], [1e9] * 3]
ARGUMENTS = {
    "neuron": {"threshold": 0.3, "surrogate": {"class_name": "Triangular", "config": {}}},
    "attention": {"position": "axial", "ratio": 2},
    "normalization": [[0.5, 0.2]] * 3,
}
ARGUMENTS["neuron"]["surrogate"] |= {"module": None, "registered_name": "keras_staa>Triangular"}


def nodes(value):
    """Every dictionary and list inside a value."""
    inside = value.values() if isinstance(value, dict) else value
    yield value
    for item in inside:
        if isinstance(item, (dict, list)):
            yield from nodes(item)


def other_description(said, draw):
    """A description of which some entries are changed, taken out or doubled."""
    said = json.loads(json.dumps(said))
    for _ in range(draw.choice([1, 1, 1, 2, 4])):
        places = [node for node in nodes(said) if node]
        node = draw.choice(places)
        key = draw.choice(list(node) if isinstance(node, dict) else range(len(node)))
        kind = draw.randrange(7)
        if kind <= 2:
            node[key] = json.loads(json.dumps(draw.choice(EXTREMES)))
        elif kind == 3 and isinstance(node[key], (int, float)):
            node[key] = node[key] * draw.choice([2, 3, -1, 1024, 10**6]) + draw.choice([0, 1])
        elif kind == 4:
            del node[key]
        elif kind == 5:
            value = draw.choice(draw.choice([list(nodes(said)), EXTREMES]))
            node[key] = json.loads(json.dumps(value))
        elif isinstance(node, dict):
            more = draw.choice(["weights", "name", "class_name", "dtype", "x"])
            node[more] = json.loads(json.dumps(node[key]))
    text = json.dumps(said)
    if draw.random() < 0.1:
        place = draw.randrange(len(text))
        text = text[:place] + draw.choice(["", "{", ",", '"a": 1,', "9", "\0"]) + text[place + 1 :]
    return text


def other_bytes(data, draw):
    """Some bytes changed, cut out, doubled or cut off."""
    data = bytearray(data)
    for _ in range(draw.choice([1, 1, 1, 2, 5, 20])):
        place, length = draw.randrange(len(data)), draw.randrange(1, 30)
        kind = draw.randrange(6)
        if kind == 0:
            data[place] = draw.randrange(256)
        elif kind == 1:
            data[place] ^= 1 << draw.randrange(8)
        elif kind == 2:
            data[place : place + 4] = draw.choice([b"\0" * 4, b"\xff" * 4, b"\0\0\0\x80"])
        elif kind == 3:
            del data[place : place + length]
        elif kind == 4:
            data[place:place] = data[place : place + length]
        elif draw.random() < 0.3:
            del data[max(place, 1) :]
    return bytes(data)


def stored(path, names):
    """Data sets as HDF5 itself reads them."""
    with h5py.File(path) as file:
        found = [file[name][()].astype("float32") for name in names]
    return sorted((v.shape, v.tobytes()) for v in found)


def try_many(folder, count, seed):
    """How many presets loaded as before, as something else that they say, or gave an error."""
    model = tiny(**ARGUMENTS)
    whole, draw = saved(folder / "preset", model, dtype="float16"), random.Random(seed)
    model = zoo.load(whole)
    description = (whole / "preset.json").read_text("utf-8")
    weights = (whole / "model.weights.h5").read_bytes()
    before = values(model)
    with weight_files.opened(whole / "model.weights.h5") as held:
        names = [name for name in held if "seed" not in name]
    outcomes = {"same": 0, "other": 0, "error": 0}
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(count):
        (whole / "preset.json").write_text(description, "utf-8")
        (whole / "model.weights.h5").write_bytes(weights)
        if number % 2:
            (whole / "model.weights.h5").write_bytes(other_bytes(weights, draw))
            sign(whole)
        else:
            text = other_description(json.loads(description), draw)
            (whole / "preset.json").write_text(text, "utf-8")
        start = time.monotonic()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                loaded = zoo.load(whole)
        except ValueError as error:
            assert str(whole) in str(error), f"{number}: {error}"
            outcomes["error"] += 1
        else:
            after = values(loaded)
            found = sorted((v.shape, v.tobytes()) for v in after.values())
            # HDF5 itself reads the file as the network did, piece by piece.
            assert found == stored(whole / "model.weights.h5", names), number
            same = all(np.array_equal(before[path], value) for path, value in after.items())
            same = same and loaded.get_config()["arguments"] == model.get_config()["arguments"]
            outcomes["same" if same else "other"] += 1
        assert time.monotonic() - start < SECONDS, number
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory
        assert used * 1024 < BYTES, number
    return outcomes


def test_damaged_presets_load_or_give_an_error(tmp_path):
    outcomes = try_many(tmp_path, FEW, seed=0)
    assert sum(outcomes.values()) == FEW
    assert outcomes["error"] > FEW / 4


@pytest.mark.slow
@pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="Reading uses no backend: once is enough."
)
@pytest.mark.parametrize("count", [MANY, pytest.param(MOST, marks=pytest.mark.release)])
def test_many_damaged_presets_load_or_give_an_error(count, tmp_path, record_property):
    outcomes = try_many(pathlib.Path(tmp_path), count, seed=1)
    record_property("outcomes", outcomes)
    print(outcomes)
    assert sum(outcomes.values()) == count
    assert min(outcomes.values()) > 0
