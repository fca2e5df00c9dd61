"""Presets on disk: where they are, what they say, and whether their files are whole."""

from keras_staa.presets.folders import aliases, find, known_as, names, root
from keras_staa.presets.parts import CARD, DESCRIPTION, FILES, HISTORY, WEIGHTS
from keras_staa.presets.preset import Preset, open_preset
from keras_staa.presets.schema import description_class

__all__ = [
    "CARD",
    "DESCRIPTION",
    "FILES",
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
]
