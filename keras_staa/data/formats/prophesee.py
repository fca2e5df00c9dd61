"""What the files of Prophesee's cameras have in common: lines of text that start with '%'."""

import re

from keras_staa.data.formats import contract as shared

_LONGEST_LINE, _LONGEST_HEADER = 2**12, 2**20
# (height, width) by what the name of the driver holds.
_CAMERAS = {
    "gen3": (480, 640),
    "gen4": (720, 1280),
    "imx636": (720, 1280),
    "genx320": (320, 320),
}


def header(path, file):
    """Return the fields of the lines at the start, leaving the file at the first byte behind them.

    Args:
        path: path of the file, for the error.
        file: the file, opened for reading bytes.

    Returns:
        Dictionary from the first word of each line, in lower case, to the rest of it.

    Raises:
        ValueError: if the file does not start with such a line, or they never end.
    """
    fields, total = {}, 0
    while total < _LONGEST_HEADER:
        place, line = file.tell(), file.readline(_LONGEST_LINE)
        is_text = line.startswith(b"%") and line.endswith(b"\n")
        text = line[1:].decode("latin-1").strip()
        # Not an event that happens to look like the start of a line.
        if not is_text or not (text.replace("\t", " ").isprintable() or not text):
            file.seek(place)
            if not total:
                shared.reject(path, "start with lines that start with '%'", f"{line[:32]!r}")
            return fields
        total += len(line)
        if text.lower() == "end":
            return fields
        key, _, value = text.partition(" ")
        fields[key.lower()] = value.strip()
    shared.reject(path, f"have a header below {_LONGEST_HEADER} bytes", f"{total} bytes")


def sensor_size(fields):
    """Return the sensor that a header states, as (height, width), or None.

    Example:

    >>> sensor_size({"geometry": "640x480"}), sensor_size({"height": "240", "width": "304"})
    ((480, 640), (240, 304))
    """
    stated = {**_options(fields.get("format", "")), **fields}
    if match := re.fullmatch(r"(\d{1,9})x(\d{1,9})", stated.get("geometry", "")):
        return int(match[2]), int(match[1])
    sides = [stated.get(name, "") for name in ("height", "width")]
    if all(re.fullmatch(r"\d{1,9}", side) for side in sides):
        return int(sides[0]), int(sides[1])
    driver = fields.get("plugin_name", "").lower()
    return next((size for name, size in _CAMERAS.items() if name in driver), None)


def _options(text):
    """Return what stands behind the name of a format, as in 'EVT3;height=720;width=1280'."""
    pairs = (part.partition("=") for part in text.split(";")[1:])
    return {key.strip().lower(): value.strip() for key, _, value in pairs}
