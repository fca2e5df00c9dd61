"""Accuracy of a preset on the test split of its data set.

python examples/evaluate.py cifar10 --data-dir DIR
python examples/evaluate.py nmnist1k --data N-MNIST --confusion confusion.png
"""

import argparse
import pathlib

import keras
import numpy as np

import keras_staa


def draw_confusion(path, counts, names, title):
    """Write a PNG with how many samples of each class (rows) are taken for which (columns)."""
    import pictures
    from matplotlib.figure import Figure

    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(1.6 + 0.45 * len(names),) * 2, layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Greys", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        if count:
            color = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, count, ha="center", va="center", color=color, fontsize=8)
    ticks = np.arange(len(names))
    axes.set_xticks(ticks, names, rotation=45, ha="right")
    axes.set_yticks(ticks, names)
    axes.set(xlabel="predicted class", ylabel="class", title=title)
    axes.title.set_fontsize(9)
    pictures.write(figure, path, dpi=80)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", help="name, alias, folder or address of a preset")
    parser.add_argument("--data-dir", help="folder with prepared TFDS data sets")
    parser.add_argument("--data", help="folder of event recordings")
    parser.add_argument("--cache-dir", help="folder for cached frames")
    parser.add_argument(
        "--confusion",
        type=pathlib.Path,
        help="PNG file to draw: what the samples of a class are taken for",
    )
    args = parser.parse_args()
    places = {"data_dir": args.data_dir, "cache_dir": args.cache_dir}
    found = keras_staa.zoo.evaluate(args.model, args.data, **places)
    if args.confusion:
        title = f"{found.name}: {found.accuracy:.2%} of {found.samples}"
        draw_confusion(args.confusion, found.confusion, found.class_names, title)
    print(
        f"{found.name} on {keras.backend.backend()}: {found.accuracy:.4f} of {found.samples} "
        "test samples"
    )


if __name__ == "__main__":
    main()
