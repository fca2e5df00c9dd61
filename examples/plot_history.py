"""Draw how a published network was trained: loss and accuracy of each epoch.

python examples/plot_history.py nmnist1k --out nmnist1k.png
"""

import argparse
import csv
import pathlib

import pictures
from matplotlib.figure import Figure

import keras_staa


def epochs(path):
    """Return the columns of a history that hold a number in every epoch, by name."""
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    columns = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        if name != "epoch" and all(value not in ("", "NA", None) for value in values):
            columns[name] = [float(value) for value in values]
    return columns


def draw(path, name):
    """Write a PNG of the history of a preset."""
    preset = keras_staa.zoo.describe(name)
    columns = epochs(keras_staa.presets.open_preset(name).history_path)
    figure = Figure(figsize=(8, 3), layout="constrained")
    for axes, kind in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for column, values in columns.items():
            if kind in column:
                axes.plot(range(1, len(values) + 1), values, label=f"{column}, training")
        axes.set(xlabel="epoch", ylabel=kind)
        if kind == "accuracy":
            value, split = preset["accuracy"]["value"], preset["accuracy"]["split"]
            axes.axhline(value, color="0.4", linestyle="--", label=f"{split}: {value:.2%}")
        axes.legend(fontsize=8)
    figure.suptitle(preset["name"], fontsize=10)
    pictures.write(figure, path, dpi=80)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="name, alias or folder of a preset")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="PNG file to write")
    args = parser.parse_args(arguments)
    draw(args.out, args.model)


if __name__ == "__main__":
    main()
