"""Presets on the Hugging Face Hub."""

import pathlib
import re

from keras_staa.presets import home
from keras_staa.presets.parts import DESCRIPTION, FILES, WEIGHTS

START = "hf://"
FORM = re.compile(r"hf://([\w.-]+/[\w.-]+)(?:@([\w./-]+))?/?")


def parse(address):
    """Return the repository and the revision (or None) of an address.

    Args:
        address: `hf://owner/repository`, or with `@` and a branch, tag or commit at its end.

    Raises:
        ValueError: if it is none.
    """
    if not (found := FORM.fullmatch(address)):
        raise ValueError(
            "An address on the Hub must be hf://owner/repository, or "
            f"hf://owner/repository@revision. Received: {address!r}"
        )
    return found[1], found[2]


def library():
    """Import `huggingface_hub`."""
    try:
        import huggingface_hub
    except ImportError as error:
        raise ImportError(
            "Addresses that begin with hf:// need huggingface_hub: `pip install huggingface_hub`."
        ) from error
    return huggingface_hub


def find(address):
    """Return the folder of a preset on the Hub, downloaded now or before.

    The Hub is asked what the revision stands for; without a connection it is what it stood for
    at the last download. A token is read as by `huggingface_hub`, from `HF_TOKEN` or its login.

    Args:
        address: see `parse`.

    Returns:
        A `pathlib.Path`, of a folder in that of `KERAS_STAA_HOME`.

    Raises:
        ValueError: if the address is none, or the repository holds no preset.
        OSError: if it cannot be downloaded.
        ImportError: if `huggingface_hub` is not installed.
    """
    repository, revision = parse(address)
    hub = library()
    try:
        folder = hub.snapshot_download(
            repository,
            revision=revision,
            cache_dir=home.home() / "hub",
            allow_patterns=list(FILES),
            library_name="keras-staa",
        )
    except (hub.errors.HfHubHTTPError, hub.errors.LocalEntryNotFoundError, OSError) as error:
        raise OSError(f"{address} could not be downloaded: {error}") from error
    folder = pathlib.Path(folder)
    for name in (DESCRIPTION, WEIGHTS):
        if not (folder / name).is_file():
            raise ValueError(f"{address} must hold a preset, but has no {name}.")
    return folder
