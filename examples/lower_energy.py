"""Fewer spikes for less energy, and what they cost in accuracy.

    python examples/lower_energy.py --data cifar10.npz --plot energy.png

A published network is trained on for a few epochs with `losses.firing_rate_penalty`, with several
strengths, and without. Each line has the firing rate and the energy of a sample by
`insight.report`, on 500 test samples, and the accuracy on the test samples. All start from the same
weights and see the same batches; the last epoch is reported.
"""

import argparse

import keras
import numpy as np

import keras_staa
from keras_staa import insight, losses, plots, presets
from keras_staa.zoo.measuring import some_samples


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("preset", nargs="?", default="vgg_w32_t2.cifar10")
    parser.add_argument("--data", help="data set or file, by default that of the preset")
    parser.add_argument("--data-dir", help="folder with prepared TFDS data sets")
    parser.add_argument("--target", type=float, default=0.05, help="firing rate to be drawn to")
    parser.add_argument("--strengths", type=float, nargs="+", default=[1.0, 4.0, 16.0])
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batches", type=int, help="batches of an epoch, by default all")
    parser.add_argument("--learning-rate", type=float, default=0.02)
    parser.add_argument("--test-samples", type=int, default=10000)
    parser.add_argument("--plot", help="file for a picture of accuracy against energy")
    return parser.parse_args()


def trained(args, strength):
    """Return the network after training with a strength, or without a penalty for 0."""
    keras.utils.set_random_seed(1)
    model = keras_staa.zoo.load(args.preset)
    if strength:
        losses.firing_rate_penalty(model, args.target, strength)
    source = args.data or presets.open_preset(args.preset).data_set
    options = {"data_dir": args.data_dir, "augment": "standard", "seed": 1}
    batches = keras_staa.data.images(source, "train", **options)
    each = min(args.batches or len(batches), len(batches))
    rate = keras.optimizers.schedules.CosineDecay(args.learning_rate, each * args.epochs)
    optimizer = keras.optimizers.SGD(rate, momentum=0.9, nesterov=True)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(batches, epochs=args.epochs, steps_per_epoch=each, verbose=2)
    return model


def main():
    args = arguments()
    preset = presets.open_preset(args.preset)
    x, y = some_samples(preset, args.data, args.test_samples, data_dir=args.data_dir)
    rows, points = [], []
    for strength in (None, 0.0, *args.strengths):
        model = keras_staa.zoo.load(args.preset) if strength is None else trained(args, strength)
        found = insight.report(model, x[:500], verbose=0)
        right = np.mean(model.predict(x, batch_size=100, verbose=0).argmax(-1) == y)
        kind = "as published" if strength is None else strength
        rows.append(f"| {kind} | {found.firing_rate:.2%} | {found.energy:.4f} | {right:.2%} |")
        points.append((found.energy, right))
        print(rows[-1], flush=True)
    print("\n| strength | firing rate | energy, mJ | accuracy |\n| --- | --- | --- | --- |")
    print("\n".join(rows))
    if args.plot:
        energy, accuracy = zip(*points[1:], strict=True)
        label = "energy of a sample, mJ"
        plots.accuracy(accuracy, energy, label, path=args.plot)


if __name__ == "__main__":
    main()
