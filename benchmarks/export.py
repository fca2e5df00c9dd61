"""Export a trained network in every format that this backend writes, and measure the files.

    KERAS_BACKEND=tensorflow python benchmarks/export.py cifar10 --data-dir DIR

Prints a row for the network itself and one for each file: its size, milliseconds for one image in
its own runtime (median of 20), of how many of 100 test images it says the class that the network
says, and its accuracy on the test images, all run by its runtime. int8 is calibrated on images of
the training set.
"""

import argparse
import pathlib
import tempfile
import time

import keras
import numpy as np

import keras_staa
from keras_staa.exporting import FORMATS


def images(args, split, count):
    options = {"data_dir": args.data_dir, "shuffle": False, "batch_size": 100}
    data_set = args.data or keras_staa.zoo.describe(args.model)["data_set"]
    xs, ys = [], []
    for x, y in keras_staa.data.images(data_set, split, **options):
        xs.append(keras.ops.convert_to_numpy(x))
        ys.append(keras.ops.convert_to_numpy(y))
        if sum(map(len, xs)) >= count:
            break
    return np.concatenate(xs)[:count], np.concatenate(ys)[:count]


def accuracy(run, x, y):
    guesses = [np.argmax(run(x[i : i + 100]), axis=-1) for i in range(0, len(x), 100)]
    return np.mean(np.concatenate(guesses) == y)


def median_ms(run, x, rounds=20):
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        run(x[:1])
        times.append(time.perf_counter() - start)
    return np.median(times) * 1000


def exported(model, name, dtype, args, folder, calibration, x, y):
    """Return a row of the table."""
    module = FORMATS[name]
    path = pathlib.Path(folder) / f"{name}_{dtype}{module.SUFFIX}"
    # Only ranges of fewer bits depend on the samples: they must not be those of the test.
    samples = calibration if dtype == "int8" else x[:100]
    found = keras_staa.export(model, path, name, dtype, samples, at_least=0.0)
    run = module.runner(path)
    expected = np.argmax(keras.ops.convert_to_numpy(model.predict_on_batch(x[:100])), axis=-1)
    same = np.sum(np.argmax(run(x[:100]), axis=-1) == expected)
    return (
        f"| {name} | {dtype} | {keras.backend.backend()} | {found.bytes / 1e6:.1f} "
        f"| {found.milliseconds:.1f} | {same} | {accuracy(run, x, y):.2%} |"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="cifar10", help="preset")
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=list(FORMATS))
    parser.add_argument("--data", help="data set or file, by default that of the preset")
    parser.add_argument("--data-dir", help="folder with the data sets")
    parser.add_argument("--images", type=int, default=10000, help="test images for the accuracy")
    args = parser.parse_args()
    model = keras_staa.zoo.load(args.model)
    x, y = images(args, "test", args.images)
    calibration, _ = images(args, "train", 200)

    def network(x):
        return keras.ops.convert_to_numpy(model.predict_on_batch(x))

    print("| format | numbers | written on | MB | ms an image | same of 100 | accuracy |")
    print("|---|---|---|---|---|---|---|")
    backend = keras.backend.backend()
    print(
        f"| Keras itself | float32 | {backend} | | {median_ms(network, x):.1f} | 100 "
        f"| {accuracy(network, x, y):.2%} |",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as folder:
        for name in args.formats:
            if backend not in FORMATS[name].BACKENDS:
                continue
            for dtype in FORMATS[name].DTYPES:
                print(exported(model, name, dtype, args, folder, calibration, x, y), flush=True)


if __name__ == "__main__":
    main()
