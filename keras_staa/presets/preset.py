"""A preset that was opened: read once, checked once."""

import pathlib

from keras_staa import files
from keras_staa.presets import folders, parts, schema


class Preset:
    """A folder with `preset.json`, `model.weights.h5`, `card.md` and `history.csv`, opened.

    What `preset.json` says are attributes: `name`, `architecture`, `arguments`, `class_names`,
    `steps`, `accuracy`, ... (see `keras_staa.zoo.describe`).

    Args:
        folder: path of the preset.

    Raises:
        ValueError: if `preset.json` does not fit the schema.
    """

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.path = self.folder / parts.DESCRIPTION
        self.weights_path = self.folder / parts.WEIGHTS
        self.history_path = self.folder / parts.HISTORY
        self.description = schema.parse(self.path)

    def __getattr__(self, name):
        if name.startswith("_") or name == "description":
            raise AttributeError(name)
        return getattr(self.description, name)

    def __repr__(self):
        return f"Preset({str(self.folder)!r})"

    def as_dictionary(self):
        """Return what `preset.json` says, as a dictionary."""
        return self.description.model_dump()

    def card(self):
        """Return the text of the card, in Markdown."""
        return (self.folder / parts.CARD).read_text("utf-8")

    def weights(self):
        """Return the weight file, after a check of its sha256.

        Returns:
            A `pathlib.Path`.

        Raises:
            FileNotFoundError: if the file is missing.
            ValueError: if the file is not the one that `preset.json` was written for.
        """
        path = self.weights_path
        if not path.is_file():
            raise FileNotFoundError(
                f"{path} is missing: the weights of preset {self.name!r}, {self.bytes} bytes with "
                f"sha256 {self.sha256}. {schema.REPAIR}"
            )
        size, found = path.stat().st_size, files.sha256(path)
        if found != self.sha256 or size != self.bytes:
            raise ValueError(
                f"{path} is damaged or was changed: expected {self.bytes} bytes with sha256 "
                f"{self.sha256}, found {size} bytes with sha256 {found}. {schema.REPAIR}"
            )
        return path


def open_preset(name_or_folder):
    """Open a preset.

    Args:
        name_or_folder: canonical name, alias, path or address, as `find` takes them.

    Returns:
        A `Preset`.

    Raises:
        ValueError: if there is no such preset, or its description does not fit the schema.
    """
    return Preset(folders.find(name_or_folder))
