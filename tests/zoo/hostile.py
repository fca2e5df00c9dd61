"""Presets that were changed on purpose, and how they are refused."""

import json

import pytest

from keras_staa import files, zoo
from tests.zoo.support import Tiny


def describe(folder, change):
    """Change the description of a preset by a function of its dictionary."""
    path = folder / "preset.json"
    said = json.loads(path.read_text("utf-8"))
    change(said)
    path.write_text(json.dumps(said), "utf-8")


def with_arguments(folder, **arguments):
    describe(folder, lambda said: said["arguments"].update(arguments))


def sign(folder):
    """Let the description fit the weight file, as one who changes both would."""
    file = folder / "model.weights.h5"
    size, digest = file.stat().st_size, files.sha256(file)
    describe(folder, lambda said: said.update(sha256=digest, bytes=size))


def refused(folder, *parts):
    """Every way of loading says which file it refuses."""
    ways = [
        lambda: zoo.load(folder),
        lambda: Tiny(weights=folder, classes=5),
    ]
    for way in ways:
        with pytest.raises(ValueError) as error:
            way()
        for part in (str(folder), *parts):
            assert part in str(error.value)
