"""Accuracy of a preset on the test split of its data set.

python examples/evaluate.py cifar10 --data-dir DIR
python examples/evaluate.py nmnist1k --data N-MNIST --confusion confusion.png
"""

import argparse
import pathlib

import keras

import keras_staa


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
        keras_staa.plots.confusion(found.confusion, found.class_names, title, path=args.confusion)
    print(
        f"{found.name} on {keras.backend.backend()}: {found.accuracy:.4f} of {found.samples} "
        "test samples"
    )


if __name__ == "__main__":
    main()
