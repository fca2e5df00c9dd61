"""Pictures on disk: whole or not there."""

import os


def write(figure, path, dpi):
    """Write a figure of matplotlib as a PNG."""
    partial = path.with_name(f".{path.name}.partial")
    figure.savefig(partial, format="png", dpi=dpi)
    os.replace(partial, path)
