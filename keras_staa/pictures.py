"""Picture files, read by Pillow: upright, with 8 bits, and not too large."""

import warnings

import numpy as np

# What is taken for a picture in a folder, in lower case.
SUFFIXES = (
    ".avif",
    ".bmp",
    ".gif",
    ".jp2",
    ".jpeg",
    ".jpg",
    ".pbm",
    ".pgm",
    ".png",
    ".ppm",
    ".tif",
    ".tiff",
    ".webp",
)


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


def fitted(picture, shape):
    """Return the square in the middle of a picture.

    Args:
        picture: a `PIL.Image.Image` of mode `"RGB"` or `"L"`.
        shape: (height, width, channels), of the channels of the mode.

    Returns:
        uint8 array of that shape.
    """
    Image, ImageOps = pillow()
    size = shape[1], shape[0]
    return np.asarray(ImageOps.fit(picture, size, Image.Resampling.LANCZOS)).reshape(shape)


def read_picture(path, mode):
    """Read a picture.

    Args:
        path: of the file.
        mode: `"RGB"` or `"L"` for grey values.

    Returns:
        A `PIL.Image.Image` of that mode, turned upright.

    Raises:
        ValueError: if the file is missing, cannot be read, or has more pixels than Pillow takes
            for safe. Its text goes behind the name of the file.
    """
    Image, ImageOps = pillow()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            picture = Image.open(path)
        with picture:
            return _eight_bits(ImageOps.exif_transpose(picture)).convert(mode)
    except FileNotFoundError as error:
        raise ValueError("is missing") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        limit = f"{Image.MAX_IMAGE_PIXELS:,}"
        raise ValueError(f"is too large: more than {limit} pixels") from error
    # The decoders raise errors of every kind on damaged files.
    except Exception as error:
        raise ValueError(f"is unreadable ({error})") from error


def _eight_bits(picture):
    """Grey pictures of 16 bits, which conversions of Pillow would clip at 255."""
    if not picture.mode.startswith("I"):
        return picture
    Image, _ = pillow()
    values = np.asarray(picture)
    if values.min() < 0 or values.max() > 65535:
        raise ValueError("its values have more than 16 bits")
    return Image.fromarray(np.round(values / 257).astype("uint8"))
