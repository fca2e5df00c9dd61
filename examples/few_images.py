"""What a pretrained network is good for where there are few images of each class.

    python examples/few_images.py --data-dir DIR --images 10 50 --seeds 1 2 3

Ten classes of CIFAR-100, of which there are a few training images each, are learned by the network
that was trained on CIFAR-10: its read-out alone (`freeze="backbone"`), all of it, and the same
network from random weights, each for the same number of steps and at the learning rate that suits
it best on images held out of the training set. Prints the accuracy on the 1,000 test images of
these classes, as mean and deviation over the seeds. Each seed has other training images.
"""

import argparse
import pathlib
import tempfile

import keras
import numpy as np
from rich.progress import track

import keras_staa

# Classes of CIFAR-100 that CIFAR-10 does not have.
CLASSES = (
    "apple",
    "bottle",
    "castle",
    "chair",
    "forest",
    "orchid",
    "plate",
    "rocket",
    "shark",
    "turtle",
)
# Found on images held out of the training set, by `--rates`.
RATES = {"read-out": 3e-2, "all": 1e-3, "random weights": 1e-3}
KINDS = {
    "read-out": {"freeze": "backbone"},
    "all": {},
    "random weights": {"weights": False},
}


def samples(args, split):
    """Images in [0, 1] and labels 0 to 9 of the ten classes."""
    options = {"data_dir": args.data_dir, "shuffle": False, "batch_size": 1000}
    names = keras_staa.zoo.describe("cifar100")["class_names"]
    number = {names.index(name): label for label, name in enumerate(CLASSES)}
    xs, ys = [], []
    for x, y in keras_staa.data.images(args.data or "cifar100", split, **options):
        x, y = keras.ops.convert_to_numpy(x), keras.ops.convert_to_numpy(y)
        kept = np.isin(y, list(number))
        xs.append(x[kept])
        ys += [number[int(label)] for label in y[kept]]
    return np.concatenate(xs), np.array(ys)


def few(x, y, each, seed):
    """Return `each` images a class to train on, and 1,000 others."""
    rng = np.random.default_rng(seed)
    chosen = [rng.permutation(np.flatnonzero(y == c))[:each] for c in range(len(CLASSES))]
    chosen = np.concatenate(chosen)
    rest = rng.permutation(np.setdiff1d(np.arange(len(y)), chosen))[:1000]
    return (x[chosen], y[chosen]), (x[rest], y[rest])


def trained(args, kind, rate, train, seed):
    keras.utils.set_random_seed(seed)
    arguments = {"classes": len(CLASSES), "steps": args.steps, **KINDS[kind]}
    model = keras_staa.zoo.load(args.model, **arguments)
    epochs = max(1, args.updates * args.batch_size // len(train[0]))
    schedule = keras.optimizers.schedules.CosineDecay(rate, args.updates)
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=1e-4)
    optimizer.exclude_from_weight_decay(var_list=keras_staa.layers.undecayed_weights(model))
    model.compile(
        optimizer,
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "few.npz"
        x, y = (train[0] * 255).round().astype("uint8"), train[1]
        np.savez(path, x_train=x, y_train=y, x_test=x[:0], y_test=y[:0])
        options = {"augment": "standard", "seed": seed, "drop_remainder": True}
        batches = keras_staa.data.images(path, batch_size=args.batch_size, **options)
        model.fit(batches, epochs=epochs, verbose=0)
    return model


def accuracy(model, x, y):
    return model.evaluate(x, y, batch_size=200, verbose=0, return_dict=True)["accuracy"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="data set or file with the classes of CIFAR-100")
    parser.add_argument("--data-dir", help="folder with the data sets")
    parser.add_argument("--model", default="cifar10", help="preset")
    parser.add_argument("--images", nargs="+", type=int, default=[10, 50], help="a class")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--steps", type=int, default=1, help="time steps")
    parser.add_argument("--updates", type=int, default=150, help="of the weights")
    parser.add_argument("--batch-size", type=int, default=50)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument(
        "--rates", nargs="+", type=float, help="compare these on images that are not trained on"
    )
    args = parser.parse_args()
    x, y = samples(args, "train")
    test = samples(args, "test")
    print(f"| images a class | trained | {'learning rate | ' if args.rates else ''}accuracy |")
    print(f"|---|---|{'---|' if args.rates else ''}---|")
    rows = [(each, kind) for each in args.images for kind in args.kinds]
    for each, kind in track(rows, transient=True):
        for rate in args.rates or [RATES[kind]]:
            found = []
            for seed in args.seeds:
                train, rest = few(x, y, each, seed)
                model = trained(args, kind, rate, train, seed)
                found.append(accuracy(model, *(rest if args.rates else test)))
            column = f"{rate} | " if args.rates else ""
            print(f"| {each} | {kind} | {column}{np.mean(found):.1%} ± {np.std(found):.1%} |")


if __name__ == "__main__":
    main()
