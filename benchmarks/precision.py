"""bfloat16 against float32: training with several seeds, and what rounding does to a neuron.

    KERAS_BACKEND=tensorflow python benchmarks/precision.py --data-dir DIR

Trains a small STAAVGG on a part of CIFAR-10 under both policies, with the same seeds and batches,
and prints the accuracy on images held out of the training set after the last epoch. Then runs
neurons with everything in float32 except one quantity, and counts the spikes that this changes.
"""

import argparse
import time

import keras
import ml_dtypes
import numpy as np

import keras_staa


def trained(policy, seed, args):
    """Accuracy of the last epoch on held-out images, and seconds of training."""
    keras.utils.set_random_seed(seed)
    keras.config.set_dtype_policy(policy)
    model = keras_staa.STAAVGG(
        width=args.width,
        steps=args.steps,
        neuron={"surrogate": "triangular", "threshold": 0.5},
        normalization=[(0.4914, 0.2470), (0.4822, 0.2435), (0.4465, 0.2616)],
    )
    keras.config.set_dtype_policy("float32")
    options = {"data_dir": args.data_dir, "download": False, "seed": seed, "batch_size": 64}
    train = keras_staa.data.images("cifar10", f"train[:{args.images}]", **options)
    held_out = keras_staa.data.images("cifar10", "train[45000:]", shuffle=False, **options)
    batches = -(-args.images // 64)
    schedule = keras.optimizers.schedules.CosineDecay(0.05, batches * args.epochs)
    optimizer = keras.optimizers.SGD(schedule, momentum=0.9, nesterov=True)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    start = time.perf_counter()
    model.fit(train, epochs=args.epochs, verbose=0)
    seconds = time.perf_counter() - start
    return model.evaluate(held_out, verbose=0)[1], seconds


def flipped(steps, quantity, neurons=200_000):
    """Share of spikes that change when one quantity of LIF (M 0.25, N 1) is rounded to bfloat16."""
    rng = np.random.default_rng(0)
    current = rng.normal(0.5, 1.0, (steps, neurons)).astype("float32")

    def low(name, value):
        return value.astype(ml_dtypes.bfloat16).astype("float32") if name == quantity else value

    def spikes(low):
        h, out = np.zeros(neurons, "float32"), []
        for x in current:
            v = low("membrane potential", np.float32(0.25) * h + low("current", x))
            out.append(v >= 1)
            h = np.where(out[-1], np.float32(0), v)
        return np.array(out)

    return float((spikes(low) != spikes(lambda name, value: value)).mean())


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data-dir", required=True, help="the prepared CIFAR-10 of TFDS")
    parser.add_argument("--images", type=int, default=8000)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    args = parser.parse_args()
    print("| policy | accuracy, each seed | mean | deviation | training, s |\n|" + " --- |" * 5)
    for policy in ("float32", "mixed_bfloat16"):
        runs = [trained(policy, seed, args) for seed in args.seeds]
        accuracies = [100 * accuracy for accuracy, _ in runs]
        each = ", ".join(f"{a:.1f}" for a in accuracies)
        mean, deviation = np.mean(accuracies), np.std(accuracies, ddof=1)
        seconds = np.mean([s for _, s in runs])
        print(f"| {policy} | {each} | {mean:.1f} | {deviation:.1f} | {seconds:.0f} |", flush=True)
    print("\n| rounded to bfloat16 | T | spikes that change |\n|" + " --- |" * 3)
    for steps in (4, 16):
        for quantity in ("current", "membrane potential"):
            print(f"| {quantity} | {steps} | {flipped(steps, quantity):.4%} |")
    spacing = float(ml_dtypes.bfloat16(0.25)) * float(ml_dtypes.finfo(ml_dtypes.bfloat16).eps)
    print(f"\nNext to M = 0.25, bfloat16 has no number closer than {spacing:.1e}.")


if __name__ == "__main__":
    main()
