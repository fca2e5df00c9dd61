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


def by_step(panel, values, names, label, text, lowest=None):
    """Draw a value for each layer and time step, with its color bar.

    Args:
        panel: `matplotlib.axes.Axes`.
        values: array (layers, T), NaN where a layer has no such step.
        names: list of strings, the layers.
        label: string, of the color bar.
        text: string, the format of the numbers, which up to 16 steps are written.
        lowest: float, at which the colors begin, or None for the smallest value.
    """
    lowest = np.nanmin(values) if lowest is None else lowest
    image = panel.imshow(values, cmap=MAP, aspect="auto", vmin=lowest)
    panel.set_yticks(range(len(names)), names, fontsize=8)
    steps_axis(panel, values.shape[1])
    if values.shape[1] <= 16:
        middle = (lowest + np.nanmax(values)) / 2
        for (row, step), value in np.ndenumerate(values):
            if np.isfinite(value):
                place = {"ha": "center", "va": "center", "fontsize": 8}
                color = "white" if value < middle else "black"
                panel.text(step, row, text.format(value), color=color, **place)
    panel.figure.colorbar(image, ax=panel, label=label)
