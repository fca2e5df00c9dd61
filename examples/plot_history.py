"""Draw how a published network was trained: loss and accuracy of each epoch.

python examples/plot_history.py nmnist1k --out nmnist1k.png
"""

import argparse
import pathlib

import keras_staa
from keras_staa import plots


def draw(path, name):
    """Write a picture of the history of a preset."""
    preset = keras_staa.zoo.describe(name)
    columns = plots.columns_of(keras_staa.presets.open_preset(name).history_path)
    # Not those of other metrics, and of runs that were not measured in each epoch.
    columns = {
        column: values
        for column, values in columns.items()
        if column.removeprefix("val_") in ("loss", "accuracy") and None not in values
    }
    value, split = preset["accuracy"]["value"], preset["accuracy"]["split"]
    figure = plots.curves(columns, marks={"accuracy": (value, f"{split}: {value:.2%}")})
    figure.suptitle(preset["name"], fontsize=10)
    plots.write(figure, path)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="name, alias or folder of a preset")
    parser.add_argument(
        "--out", type=pathlib.Path, required=True, help="file to write: PNG, SVG or PDF"
    )
    args = parser.parse_args(arguments)
    draw(args.out, args.model)


if __name__ == "__main__":
    main()
