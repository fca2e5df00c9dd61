"""What holds for all tests."""

import keras
import pytest

# Of the three backends the one that starts fastest.
ONCE = "torch"


def pytest_collection_modifyitems(items):
    """Tests that no backend has a part in run on one of them."""
    if keras.backend.backend() == ONCE:
        return
    skip = pytest.mark.skip(reason=f"uses no backend: runs with {ONCE}")
    for item in items:
        if item.get_closest_marker("once"):
            item.add_marker(skip)
