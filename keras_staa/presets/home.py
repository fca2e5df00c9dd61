"""The folder for what was downloaded or unpacked: `KERAS_STAA_HOME`."""

import hashlib
import os
import pathlib
import re


def home():
    """Return the folder: `KERAS_STAA_HOME`, or `keras-staa` in that of Keras.

    Returns:
        A `pathlib.Path`, of a folder that need not exist.
    """
    if own := os.environ.get("KERAS_STAA_HOME"):
        return pathlib.Path(own).expanduser()
    return pathlib.Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser() / "keras-staa"


def place(kind, name, key):
    """Return the folder in which a preset from elsewhere is kept.

    Args:
        kind: string, a subfolder.
        name: string, the name of the preset, from outside.
        key: string, what tells it from others of its name.

    Returns:
        A `pathlib.Path`.
    """
    digest = hashlib.sha256(key.encode()).hexdigest()[:16]
    safe = re.sub(r"[^\w.-]", "_", name).strip(".")[:80] or "preset"
    return home() / kind / digest / safe
