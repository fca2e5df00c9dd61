"""How many photographs a second a folder gives, decoded, resized and augmented as for ImageNet.

    KERAS_BACKEND=tensorflow python benchmarks/photographs.py FOLDER

FOLDER holds a folder of pictures for each class. Links to them make a data set of so many that it
does not fit into the memory that is kept for decoded images, so that each picture is decoded each
time. Prints images a second, medians of the rounds, of reading alone, and of each number of layers
of the augmentation of the recipe `imagenet`, the first alone, the first two, and so on.
"""

import argparse
import itertools
import os
import pathlib
import statistics
import tempfile
import time

import keras

import keras_staa
from keras_staa.training import build, load_recipe

# Of 256 x 256 x 3 bytes, more than 1 GiB.
PICTURES = 6000


def linked(folder, into):
    """Make a folder with links to pictures, each as often as it takes."""
    pictures = [path for path in sorted(pathlib.Path(folder).glob("*/*")) if path.is_file()]
    if not pictures:
        raise SystemExit(f"There are no pictures in folders of classes in {folder}")
    for number, path in zip(range(PICTURES), itertools.cycle(pictures), strict=False):
        target = pathlib.Path(into) / "train" / path.parent.name / f"{number:05}{path.suffix}"
        target.parent.mkdir(parents=True, exist_ok=True)
        os.symlink(path.resolve(), target)
    return len(pictures)


def rate(batches, count):
    """Images a second of the next `count` batches of a pass."""
    start = time.perf_counter()
    images = sum(len(batches[index][0]) for index in range(count))
    return images / (time.perf_counter() - start)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", help="folder with a folder of pictures for each class")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--batches", type=int, default=4, help="of each round")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    data = load_recipe("imagenet").data.arguments()
    common = {"size": data["size"], "crop_to_aspect_ratio": data["crop_to_aspect_ratio"]}
    common |= {"one_hot": True, "batch_size": args.batch_size}
    layers = build.augmentation(data["augment"])
    names = ["pictures", "read", *(f"+ {type(layer).__name__}" for layer in layers)]
    print(f"| backend | {' | '.join(names)} |\n|" + " --- |" * (1 + len(names)))
    with tempfile.TemporaryDirectory() as into:
        pictures = linked(args.folder, into)
        cells = []
        for last in range(len(layers) + 1):
            batches = keras_staa.data.images(into, "train", augment=layers[:last], **common)
            batches[0]
            found = [rate(batches, args.batches) for _ in range(args.rounds)]
            cells.append(f"{statistics.median(found):.0f}")
        print(f"| {keras.backend.backend()} | {pictures} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
