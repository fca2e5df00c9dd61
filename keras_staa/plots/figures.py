"""Figures: where they are drawn, how they look and how they are written."""

import io
import pathlib

import numpy as np

from keras_staa import files

# Colors that color-blind people tell apart, by Okabe and Ito; lines differ in their dashes too.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))
FORMATS = (".png", ".svg", ".pdf")
# Of a dark and a light end that also differ in grey.
MAP = "cividis"
RESOLUTION = 100


def axes(ax, width, height, columns=1, rows=1):
    """Return a figure and axes: those that are given, or new ones.

    Args:
        ax: None, or `matplotlib.axes.Axes`; for several panels a sequence of them.
        width, height: of a new figure, in inches.
        columns, rows: how many panels there are.

    Raises:
        ValueError: if the number of axes is another one.
    """
    from matplotlib.figure import Figure

    count = columns * rows
    if ax is None:
        figure = Figure(figsize=(width, height), layout="constrained")
        panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    else:
        panels = list(np.ravel(np.asarray(ax, dtype=object)))
        if len(panels) != count:
            raise ValueError(f"`ax` must have {count} axes. Received: {len(panels)}")
        figure = panels[0].figure
    return figure, panels[0] if count == 1 else panels


def line(number):
    """Return color and dashes of a line, as arguments of `plot`."""
    return {"color": COLORS[number % len(COLORS)], "linestyle": DASHES[number % len(DASHES)]}


def done(figure, path):
    """Write a figure if there is a path, and return it."""
    if path is not None:
        write(figure, path)
    return figure


def write(figure, path):
    """Write a figure to a file, whole or not at all.

    Args:
        figure: a `matplotlib.figure.Figure`.
        path: of a PNG, SVG or PDF file.

    Raises:
        ValueError: for another suffix.
    """
    path = pathlib.Path(path)
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise ValueError(f"`path` must end in one of {FORMATS}. Received: path={str(path)!r}")
    picture = io.BytesIO()
    figure.savefig(picture, format=suffix[1:], dpi=RESOLUTION)
    files.write(path, picture.getbuffer())


def whole_numbers(panel):
    """Put the ticks of the x axis at whole numbers."""
    from matplotlib.ticker import MaxNLocator

    panel.xaxis.set_major_locator(MaxNLocator(integer=True))


def steps_axis(panel, steps):
    """Label an axis with the time steps, from 1."""
    panel.set_xlabel("time step")
    every = max(1, -(-steps // 16))
    ticks = np.arange(0, steps, every)
    panel.set_xticks(ticks, ticks + 1)
