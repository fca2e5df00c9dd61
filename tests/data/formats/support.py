"""How a file is refused."""

import pytest

from keras_staa.data import formats


def rejected(path, text, **arguments):
    """The file is refused, at once and in chunks, by an error that has its name and a text."""
    for attempt in (
        lambda: formats.read(path, **arguments),
        lambda: list(formats.chunks(path, 10, **arguments)),
    ):
        with pytest.raises(ValueError, match=text) as error:
            attempt()
        assert str(path) in str(error.value)
        assert "Received: " in str(error.value)
