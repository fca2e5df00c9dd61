"""Presets that are neither of this library nor in a folder here."""

import importlib
import os

# What an address begins with, and the module whose `find` gives the folder of the preset. It is
# imported when there is such an address: what speaks with servers takes time to import.
ADDRESSES = {"https://": "web", "http://": "web", "hf://": "hub"}
SUFFIX = ".zip"
KINDS = "a zip file of one, or an address: https://... or hf://owner/repository"


def of(name):
    """Return the function that finds a preset of an address or a zip file, or None.

    Args:
        name: string or path.
    """
    text = os.fspath(name)
    module = None
    if isinstance(name, str):
        module = next((m for start, m in ADDRESSES.items() if text.startswith(start)), None)
    if module is None and text.endswith(SUFFIX) and os.path.isfile(text):
        module = "archive"
    return module and importlib.import_module(f"keras_staa.presets.{module}").find
