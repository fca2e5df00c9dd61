"""Image files as arrays that a network takes: upright, in 8 bits, of the size it was built for."""

import pathlib
import warnings

import numpy as np

# What is taken for a picture in a folder; a file that is named is tried whatever its name.
SUFFIXES = {".avif", ".bmp", ".gif", ".jp2", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm"}
SUFFIXES |= {".tif", ".tiff", ".webp"}


def pillow():
    """Return the modules `Image` and `ImageOps` of Pillow.

    Raises:
        ImportError: if it is not installed.
    """
    try:
        from PIL import Image, ImageOps
    except ModuleNotFoundError as error:
        raise ImportError("Pictures are read by Pillow: `pip install pillow`.") from error
    return Image, ImageOps


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
    Image, ImageOps = pillow()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            picture = Image.open(path)
        with picture:
            upright = _eight_bits(ImageOps.exif_transpose(picture))
        mode = "L" if shape[-1] == 1 else "RGB"
        size = (shape[1], shape[0])
        fitted = ImageOps.fit(upright.convert(mode), size, Image.Resampling.LANCZOS)
    except FileNotFoundError as error:
        raise _error(path, "is missing") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        limit = f"{Image.MAX_IMAGE_PIXELS:,}"
        raise _error(path, f"is too large: more than {limit} pixels") from error
    # The decoders raise errors of every kind on damaged files.
    except Exception as error:
        raise _error(path, f"is unreadable ({error})") from error
    return np.asarray(fitted).reshape(shape)


def _eight_bits(picture):
    """Grey pictures of 16 bits, which conversions of Pillow would clip at 255."""
    if not picture.mode.startswith("I"):
        return picture
    Image, _ = pillow()
    values = np.asarray(picture)
    if values.min() < 0 or values.max() > 65535:
        raise ValueError("its values have more than 16 bits")
    return Image.fromarray(np.round(values / 257).astype("uint8"))


def _is_hidden(file, folder):
    return any(part.startswith(".") for part in file.relative_to(folder).parts)


def _error(path, reason):
    return ValueError(f"`pictures` must be image files. Received: {path!r}, which {reason}")
