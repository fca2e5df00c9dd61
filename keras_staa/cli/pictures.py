"""Pictures for the command line: which ones are meant, and as arrays that a network takes."""

import pathlib

from keras_staa.pictures import SUFFIXES, fitted, read_picture


def find(paths):
    """Return the picture files that paths of files and folders name, in their order.

    Args:
        paths: strings. A folder stands for the pictures in it and in the folders inside, by name.

    Returns:
        A list of strings, and a list of errors, one for each folder without pictures.
    """
    found, errors = [], []
    for path in paths:
        folder = pathlib.Path(path)
        if not folder.is_dir():
            found.append(path)
            continue
        inside = sorted(
            file
            for file in folder.rglob("*")
            if file.suffix.lower() in SUFFIXES and not _is_hidden(file, folder) and file.is_file()
        )
        found += map(str, inside)
        if not inside:
            errors.append(_error(path, "holds no picture"))
    return found, errors


def read(path, shape):
    """Read the square in the middle: the networks were trained on square pictures.

    Args:
        path: of an image file.
        shape: (height, width, channels), of 1 or 3 channels.

    Returns:
        uint8 array of that shape.

    Raises:
        ValueError: if the file cannot be read, or has more pixels than Pillow takes for safe.
    """
    try:
        picture = read_picture(path, "L" if shape[-1] == 1 else "RGB")
    except ValueError as error:
        raise _error(path, error) from error
    return fitted(picture, shape)


def _is_hidden(file, folder):
    return any(part.startswith(".") for part in file.relative_to(folder).parts)


def _error(path, reason):
    return ValueError(f"`pictures` must be image files. Received: {path!r}, which {reason}")
