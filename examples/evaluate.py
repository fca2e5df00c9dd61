"""Accuracy of a preset on the test split of its data set.

python examples/evaluate.py cifar10 --data-dir DIR
python examples/evaluate.py nmnist1k --data N-MNIST --confusion confusion.png
"""

import argparse
import pathlib

import keras
import numpy as np
import recordings

import keras_staa


def samples(preset, args):
    """Return what the preset was measured on, as it was read then."""
    training = preset["training"]
    if "test_data" not in training:
        return keras_staa.data.images(preset["data_set"], "test", data_dir=args.data_dir)
    return recordings.described(
        training["test_data"],
        args.data or training["test_data"]["source"],
        shuffle=False,
        normalize=training["normalize"],
        cache_dir=args.cache_dir,
    )


def draw_confusion(path, labels, guesses, names, title):
    """Write a PNG with how many samples of each class (rows) are taken for which (columns)."""
    import pictures
    from matplotlib.figure import Figure

    counts = np.zeros((len(names), len(names)), int)
    np.add.at(counts, (labels, guesses), 1)
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
    parser.add_argument("model", help="name, alias or folder of a preset")
    parser.add_argument("--data-dir", help="folder with prepared TFDS data sets")
    parser.add_argument("--data", help="folder of event recordings")
    parser.add_argument("--cache-dir", help="folder for cached frames")
    parser.add_argument(
        "--confusion",
        type=pathlib.Path,
        help="PNG file to draw: what the samples of a class are taken for",
    )
    args = parser.parse_args()
    preset = keras_staa.zoo.describe(args.model)
    model = keras_staa.zoo.load(args.model)
    test = samples(preset, args)
    guesses = np.argmax(model.predict(test, verbose=0), axis=-1)
    labels = np.concatenate([np.asarray(label) for _, label in test])
    unit = "test samples" if len(model.input_shape) == 5 else "test images"
    if args.confusion:
        title = f"{preset['name']}: {np.mean(guesses == labels):.2%} of {len(labels)}"
        draw_confusion(args.confusion, labels, guesses, preset["class_names"], title)
    print(
        f"{preset['name']} on {keras.backend.backend()}: "
        f"{np.mean(guesses == labels):.4f} of {len(labels)} {unit}"
    )


if __name__ == "__main__":
    main()
