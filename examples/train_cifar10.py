"""Train a spiking network on CIFAR-10 with plain `compile` and `fit`.

    python examples/train_cifar10.py --out runs/cifar10

Run the same command again after an interruption and it goes on from the last finished epoch.
"""

import argparse
import math
import pathlib

import keras

import keras_staa

MEAN = (0.49139968, 0.48215841, 0.44653091)
DEVIATION = (0.24703223, 0.24348513, 0.26158784)
IMAGES = 50_000


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder of the run")
    parser.add_argument("--data-dir", help="folder with prepared TFDS data sets")
    parser.add_argument("--architecture", default="STAAResNet20")
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--steps", type=int, default=2, help="time steps T")
    parser.add_argument("--no-attention", dest="attention", action="store_false")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--learning-rate", type=float, default=0.2, help="at the peak")
    parser.add_argument("--weight-decay", type=float, default=5e-3, help="decoupled")
    parser.add_argument("--augment", default="standard")
    parser.add_argument("--policy", default="float32", help="or mixed_bfloat16")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def optimizer(args):
    steps = math.ceil(IMAGES / args.batch_size)
    warmup = min(2.0, 0.2 * args.epochs)
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=args.learning_rate / 25,
        warmup_target=args.learning_rate,
        warmup_steps=round(warmup * steps),
        decay_steps=round((args.epochs - warmup) * steps),
    )
    sgd = keras.optimizers.SGD(
        schedule, momentum=0.9, nesterov=True, weight_decay=args.weight_decay
    )
    # Decay would pull M and N to zero, and the scale and shift of a normalisation.
    sgd.exclude_from_weight_decay(
        var_names=["bias", "gamma", "beta", "decay", "gain", "steps", "rows", "columns"]
    )
    return sgd


def main():
    args = arguments()
    args.out.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(args.seed)
    keras.config.set_dtype_policy(args.policy)
    read = {"data_dir": args.data_dir, "batch_size": args.batch_size, "one_hot": True}
    train = keras_staa.data.images(
        "cifar10", "train", augment=args.augment, seed=args.seed, drop_remainder=True, **read
    )
    test = keras_staa.data.images("cifar10", "test", **read)

    model = keras_staa.models.FACTORIES[args.architecture](
        steps=args.steps,
        width=args.width,
        attention=args.attention,
        normalization=list(zip(MEAN, DEVIATION, strict=True)),
        classifier_activation=None,
    )
    model.compile(
        optimizer=optimizer(args),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1),
        metrics=["accuracy"],
    )
    model.fit(
        train,
        epochs=args.epochs,
        callbacks=[
            keras.callbacks.CSVLogger(args.out / "history.csv", append=True),
            keras.callbacks.BackupAndRestore(args.out / "backup", delete_checkpoint=False),
        ],
        verbose=2,
    )
    result = model.evaluate(test, return_dict=True, verbose=2)
    print(f"test accuracy after epoch {args.epochs}: {result['accuracy']:.4f}")
    partial = args.out / "partial.weights.h5"
    model.save_weights(partial)
    partial.rename(args.out / "model.weights.h5")


if __name__ == "__main__":
    main()
