"""Accuracy and energy by time step, and what early exits save.

    KERAS_BACKEND=tensorflow python benchmarks/early_exits.py cifar10 --data-dir DIR

Each preset is loaded with `causal=True`, which trains nothing, and runs one time step at a time on
the first test samples. "as published" is the accuracy without it. Then samples leave at a
threshold: the mean number of time steps, the accuracy, and the time over that of all T steps, in
batches and for one sample after the other. Every time is the shorter one of two.
"""

import argparse
import time

import numpy as np

import keras_staa
from keras_staa import insight, presets, streaming
from keras_staa.zoo.measuring import some_samples

# Samples of the times one by one.
SINGLE = 100


def seconds(classifier, x, batch_size):
    times = []
    for _ in range(2):
        start = time.perf_counter()
        classifier.predict(x, batch_size)
        times.append(time.perf_counter() - start)
    return min(times)


def line(*cells):
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def curves(stepper, x, y, published, batch_size):
    """Print accuracy and energy by time step, and return both."""
    by_step = insight.accuracy_by_step(stepper, x, y, batch_size, verbose=0).accuracy
    energy = insight.report(stepper.model, x[:500], batch_size, verbose=0).energy_by_step
    expected = published.predict(x, batch_size, verbose=0).argmax(-1)
    right = np.mean(expected == y)
    line("time steps", *range(1, stepper.steps + 1), "as published")
    line(*["---"] * (stepper.steps + 2))
    line("accuracy", *(f"{value:.2%}" for value in (*by_step, right)))
    line("energy, mJ", *(f"{value:.4f}" for value in energy), "")
    found = stepper.model.predict(x, batch_size, verbose=0).argmax(-1)
    print(f"\n{np.sum(found != expected)} samples get another class than as published.\n")
    return by_step, energy


def exits(stepper, x, y, thresholds, batch_size):
    """Print what samples take that leave at a threshold."""
    line("threshold", "mean steps", "accuracy", "time", "time, one by one")
    line(*["---"] * 5)
    whole = None
    for threshold in [1.0, *sorted(thresholds, reverse=True)]:
        classifier = streaming.early_exit(stepper, threshold)
        found = classifier.predict(x, batch_size)
        times = seconds(classifier, x, batch_size), seconds(classifier, x[:SINGLE], 1)
        whole = whole or times
        ratios = (f"{a / b:.2f}" for a, b in zip(times, whole, strict=True))
        right = np.mean(found.probabilities.argmax(-1) == y)
        line(threshold, f"{found.mean_steps:.2f}", f"{right:.2%}", *ratios)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("presets", nargs="*", default=["cifar10"])
    parser.add_argument("--data", help="data set or folder, by default that of each preset")
    parser.add_argument("--data-dir", help="folder with the data sets")
    parser.add_argument("--samples", type=int, default=10000)
    parser.add_argument("--batch-size", type=int, default=100)
    parser.add_argument("--thresholds", type=float, nargs="+", default=[0.5, 0.7, 0.9, 0.95, 0.99])
    parser.add_argument("--plot", help="file for a picture of accuracy against energy")
    args = parser.parse_args()
    found = {}
    for name in args.presets:
        preset = presets.open_preset(name)
        full = preset.name
        x, y = some_samples(preset, args.data, args.samples, data_dir=args.data_dir)
        stepper = streaming.Stepper(keras_staa.zoo.load(name, causal=True))
        print(f"\n`{full}`, {len(x)} test samples\n")
        found[full] = curves(stepper, x, y, keras_staa.zoo.load(name), args.batch_size)
        exits(stepper, x, y, args.thresholds, args.batch_size)
    if args.plot:
        accuracy, energy = zip(*found.values(), strict=True)
        label = "energy of a sample, mJ"
        keras_staa.plots.accuracy(accuracy, energy, label, names=list(found), path=args.plot)


if __name__ == "__main__":
    main()
