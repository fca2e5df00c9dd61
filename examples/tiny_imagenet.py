"""Write the images of Tiny ImageNet to a file of NumPy, which a recipe can read.

    python examples/tiny_imagenet.py tiny-imagenet-200 --out tiny_imagenet.npz
    keras-staa train tiny_imagenet --set data.source=tiny_imagenet.npz

FOLDER is what https://cs231n.stanford.edu/tiny-imagenet-200.zip holds. Its test images have no
labels, so the split "test" of the file is what the data set calls "val". The training images are in
a random order, so that a slice such as `train[:95%]` has images of all classes.
"""

import argparse
import io
import pathlib

import numpy as np
from PIL import Image
from rich.progress import track

from keras_staa import files


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=pathlib.Path, metavar="FOLDER")
    parser.add_argument("--out", type=pathlib.Path, required=True, metavar="FILE.npz")
    parser.add_argument("--seed", type=int, default=1, help="of the order, default: %(default)s")
    args = parser.parse_args()
    ids = sorted((args.folder / "wnids.txt").read_text("utf-8").split())
    label = {wnid: number for number, wnid in enumerate(ids)}
    train = sorted(args.folder.glob("train/*/images/*.JPEG"))
    np.random.default_rng(args.seed).shuffle(train)
    test = [row.split("\t")[:2] for row in lines(args.folder / "val/val_annotations.txt")]
    synonyms = dict(row.split("\t", 1) for row in lines(args.folder / "words.txt"))
    held = io.BytesIO()
    np.savez(
        held,
        x_train=images(train),
        y_train=np.array([label[path.parts[-3]] for path in train], "uint8"),
        x_test=images([args.folder / "val/images" / name for name, _ in test]),
        y_test=np.array([label[wnid] for _, wnid in test], "uint8"),
        class_names=[synonyms[wnid].split(",")[0] for wnid in ids],
    )
    files.write(args.out, held.getbuffer())
    print(f"{args.out}: {len(train)} images to train on, {len(test)} to test on")


def lines(path):
    return path.read_text("utf-8").splitlines()


def images(paths):
    """Return uint8 images (N, 64, 64, 3); grey ones get three equal channels."""
    return np.stack([np.asarray(Image.open(path).convert("RGB")) for path in track(paths)])


if __name__ == "__main__":
    main()
