"""Presets on disk: where they are, what they say, and whether their files are whole."""

from keras_staa.presets.folders import (
    CARD,
    DESCRIPTION,
    HISTORY,
    WEIGHTS,
    aliases,
    find,
    known_as,
    names,
    root,
)
from keras_staa.presets.preset import Preset, open_preset, sha256
from keras_staa.presets.schema import description_class

__all__ = [
    "CARD",
    "DESCRIPTION",
    "HISTORY",
    "WEIGHTS",
    "Preset",
    "aliases",
    "description_class",
    "find",
    "known_as",
    "names",
    "open_preset",
    "root",
    "sha256",
]
