"""Presets that are neither of this library nor in a folder here."""

import os

from keras_staa.presets import archive, hub, web

# What an address begins with, and the function that gives the folder of the preset.
ADDRESSES = {"https://": web.find, "http://": web.find, "hf://": hub.find}
KINDS = "a zip file of one, or an address: https://... or hf://owner/repository"


def of(name):
    """Return the function that finds a preset of an address or a zip file, or None.

    Args:
        name: string or path.
    """
    text = os.fspath(name)
    for start, find in ADDRESSES.items():
        if isinstance(name, str) and text.startswith(start):
            return find
    return archive.find if text.endswith(archive.SUFFIX) and os.path.isfile(text) else None
