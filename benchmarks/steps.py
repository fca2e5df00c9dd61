"""Accuracy of a preset at other numbers of time steps than it was trained with.

    KERAS_BACKEND=tensorflow python benchmarks/steps.py cifar10 cifar100 --data-dir DIR

"as loaded" is `zoo.load(name, steps=T)`. "recalibrated" is the same after
`keras_staa.training.recalibrate` on 5,000 training samples, which computes the statistics of batch
normalization again and trains nothing. Accuracies are on the test samples. An event recording is
cut into T frames of the same length.
"""

import argparse
import itertools

import keras
import numpy as np

import keras_staa
from keras_staa import presets
from keras_staa.zoo.measuring import read_samples


def accuracy(model, batches):
    right = [np.argmax(model.predict_on_batch(x), axis=-1) == y for x, y in batches]
    return float(np.mean(np.concatenate(right)))


def batches(args, name, split, count, steps, shuffle=False):
    preset, size = presets.open_preset(name), args.batch_size
    where = (args.data, split, args.data_dir, None, size)
    found = read_samples(preset, *where, steps=steps, shuffle=shuffle)
    for batch in itertools.islice(found, -(-count // size)):
        yield tuple(keras.ops.convert_to_numpy(part) for part in batch)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("presets", nargs="*", default=["cifar10"])
    parser.add_argument("--data", help="data set or file, by default that of each preset")
    parser.add_argument("--data-dir", help="folder with the data sets")
    parser.add_argument("--steps", nargs="+", type=int, default=[1, 2, 4, 6, 8])
    parser.add_argument("--images", type=int, default=10000, help="test samples, in whole batches")
    parser.add_argument("--batch-size", type=int, default=200)
    args = parser.parse_args()
    print("| preset | | " + " | ".join(f"T = {steps}" for steps in args.steps) + " |", flush=True)
    print("|---" * (2 + len(args.steps)) + "|")
    for name in args.presets:
        rows = {"as loaded": [], "recalibrated": []}
        for steps in args.steps:
            model = keras_staa.zoo.load(name, steps=steps)
            if not rows["as loaded"] or len(model.input_shape) == 5:
                # Images are the same at every T, frames are not.
                test = list(batches(args, name, "test", args.images, steps))
                train = list(batches(args, name, "train", 5000, steps, shuffle=True))
            rows["as loaded"].append(accuracy(model, test))
            keras_staa.training.recalibrate(model, train)
            rows["recalibrated"].append(accuracy(model, test))
        full = keras_staa.zoo.describe(name)["name"]
        for kind, values in rows.items():
            row = " | ".join(f"{v:.2%}" for v in values)
            print(f"| `{full}` | {kind} | {row} |", flush=True)


if __name__ == "__main__":
    main()
