"""Pictures of energy, accuracy and training."""

import csv

import numpy as np

from keras_staa.plots import figures


def energy(reports, ax=None, path=None):
    """Draw the energy of networks beside that of the ReLU networks of the same shape.

    Args:
        reports: an `insight.Report`, or a dictionary from names to such.
        ax: optional axes of matplotlib to draw into.
        path: optional file to write.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    if not isinstance(reports, dict):
        reports = {reports.name: reports}
    places = np.arange(len(reports))
    figure, panel = figures.axes(ax, 6, 1.4 + 0.7 * len(reports))
    spiking = [report.energy for report in reports.values()]
    relu = [report.relu_energy for report in reports.values()]
    panel.barh(places - 0.2, spiking, 0.38, color=figures.COLORS[0], label="spiking network")
    panel.barh(places + 0.2, relu, 0.38, color="0.8", edgecolor="0.3", hatch="//", label="ReLU")
    for place, report in zip(places, reports.values(), strict=True):
        panel.text(
            report.energy, place - 0.2, f" {report.ratio:.2f} of ReLU", va="center", fontsize=8
        )
    panel.set_yticks(places, list(reports))
    panel.invert_yaxis()
    panel.set_xlim(0, 1.15 * max(*spiking, *relu))
    panel.set_xlabel("energy of a sample, mJ")
    panel.legend(fontsize=8)
    return figures.done(figure, path)


def columns_of(path):
    """Return the columns of the CSV file of a training, for `curves`.

    Args:
        path: of a file as `keras.callbacks.CSVLogger` writes it.

    Returns:
        A dictionary from names to lists of floats, None where an epoch has no number.
    """
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = [name for name in rows[0] if name != "epoch"] if rows else []
    # Keras writes NA where there is no validation.
    missing = ("", "NA", None)
    return {n: [None if row[n] in missing else float(row[n]) for row in rows] for n in names}


def curves(history, marks=None, ax=None, path=None):
    """Draw the loss and the metrics of a training, each with that of the validation.

    Args:
        history: what `fit` returns, or a dictionary from names to numbers of the epochs. Epochs
            without a number are None.
        marks: optional dictionary from names of metrics to pairs of a number and a label: lines
            across the panel.
        ax: optional axes of matplotlib, one for each metric, in the order of their names.
        path: optional file to write.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: if there is nothing to draw.
    """
    columns = getattr(history, "history", history)
    names = sorted({name.removeprefix("val_") for name in columns if name != "epoch"})
    if not names:
        raise ValueError("`history` must have a loss or a metric. Received: none")
    figure, panels = figures.axes(ax, 5 * len(names), 4, columns=len(names))
    for name, panel in zip(names, panels if len(names) > 1 else [panels], strict=True):
        for number, column in enumerate((name, f"val_{name}")):
            pairs = [(i + 1, v) for i, v in enumerate(columns.get(column, ())) if v is not None]
            if pairs:
                label = "training" if column == name else "validation"
                panel.plot(*zip(*pairs, strict=True), label=label, **figures.line(number))
        if marks and name in marks:
            value, label = marks[name]
            panel.axhline(value, color="0.4", linewidth=1, linestyle=":", label=label)
        panel.set(xlabel="epoch", ylabel=name)
        figures.whole_numbers(panel)
        panel.legend(fontsize=8)
    return figures.done(figure, path)


def confusion(counts, names, title=None, ax=None, path=None):
    """Draw how many samples of each class (rows) are taken for which (columns).

    Args:
        counts: array of integers (classes, classes), as `zoo.evaluate(...).confusion` is.
        names: list of strings, the classes.
        title: optional string.
        ax, path: as in `energy`.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: if the names are not as many as the classes.
    """
    counts = np.asarray(counts)
    if counts.shape != (len(names),) * 2:
        raise ValueError(
            f"`counts` must be of shape ({len(names)}, {len(names)}), that of `names`. "
            f"Received: {counts.shape}"
        )
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 1.6 + 0.45 * min(len(names), 40)
    figure, panel = figures.axes(ax, side, side)
    panel.imshow(shares, cmap="Greys", vmin=0, vmax=1)
    if len(names) <= 40:
        for (row, column), count in np.ndenumerate(counts):
            if count:
                color = "white" if shares[row, column] > 0.5 else "black"
                panel.text(column, row, count, ha="center", va="center", color=color, fontsize=8)
        ticks = np.arange(len(names))
        panel.set_xticks(ticks, names, rotation=45, ha="right")
        panel.set_yticks(ticks, names)
    panel.set(xlabel="predicted class", ylabel="class")
    panel.set_title(title or "", fontsize=9)
    return figures.done(figure, path)


def accuracy(values, against, label="time steps", names=None, ax=None, path=None):
    """Draw the accuracy against time steps, energy or anything else.

    Args:
        values: numbers in [0, 1], the accuracies, or a list of such lists, one for each line.
        against: numbers, as many, or a list of such lists.
        label: string, what `against` is, with its unit.
        names: list of strings, one for each line.
        ax, path: as in `energy`.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    many = np.ndim(values[0]) > 0
    lines = list(zip(values, against, strict=True)) if many else [(values, against)]
    figure, panel = figures.axes(ax, 6, 4)
    for number, (y, x) in enumerate(lines):
        name = names[number] if names else None
        panel.plot(x, 100 * np.asarray(y), marker="o", label=name, **figures.line(number))
    panel.set(xlabel=label, ylabel="accuracy, %")
    if all(float(x).is_integer() for _, points in lines for x in points):
        figures.whole_numbers(panel)
    panel.grid(color="0.9")
    if names:
        panel.legend(fontsize=8)
    return figures.done(figure, path)
