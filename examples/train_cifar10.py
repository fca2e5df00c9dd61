"""Train a spiking network on CIFAR-10 with plain `compile` and `fit`.

    python examples/train_cifar10.py --out runs/vgg_w32_t1.cifar10 --steps 1 --epochs 30

Run the same command again after an interruption and it goes on from the last finished epoch. At
the end the network is measured on the test images and written as a preset, a folder in OUT, which
`keras_staa.zoo.load` reads and `--weights` takes as the start of another run.
"""

import argparse
import json
import pathlib
import shlex
import sys
import tempfile

import keras

import keras_staa

MEAN = (0.49139968, 0.48215841, 0.44653091)
DEVIATION = (0.24703223, 0.24348513, 0.26158784)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder of the run")
    parser.add_argument("--data-dir", help="folder with prepared TFDS data sets")
    parser.add_argument("--architecture", default="STAAVGG")
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--steps", type=int, default=2, help="time steps T")
    parser.add_argument("--no-attention", dest="attention", action="store_false")
    parser.add_argument("--neuron", type=json.loads, help="arguments of LIF, as JSON")
    parser.add_argument("--weights", help="preset or folder of one to start from, of any T")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--learning-rate", type=float, default=0.2, help="at the peak")
    parser.add_argument("--weight-decay", type=float, default=5e-3, help="decoupled")
    parser.add_argument("--label-smoothing", type=float, default=0.1)
    parser.add_argument("--augment", default="standard")
    parser.add_argument("--policy", default="float32", help="or mixed_bfloat16")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--held-out", action="store_true", help="measure on 5,000 training images kept apart"
    )
    return parser.parse_args()


def optimizer(args, steps):
    """SGD with Nesterov momentum, and decay where it is meant: on the kernels."""
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


def network(args):
    """A new network, or that of a preset for this many time steps."""
    create = keras_staa.models.FACTORIES[args.architecture]
    if args.weights:
        return create(weights=args.weights, steps=args.steps, classifier_activation=None)
    return create(
        steps=args.steps,
        width=args.width,
        attention=args.attention,
        neuron=args.neuron,
        normalization=list(zip(MEAN, DEVIATION, strict=True)),
        classifier_activation=None,
    )


def whole_history(args):
    """The epochs of this run, behind those of the run that it started from."""
    own = args.out / "history.csv"
    if not args.weights:
        return own
    before = keras_staa.presets.find(args.weights) / keras_staa.presets.HISTORY
    whole = args.out / "whole_history.csv"
    _, rows = own.read_text().split("\n", 1)
    whole.write_text(before.read_text() + rows)
    return whole


def publish(model, args, test):
    """Write the preset, measured with the rounded weights that it holds."""
    name, recorded = keras_staa.models.recorded_arguments(model)
    keras.config.set_dtype_policy("float32")
    network = keras_staa.models.FACTORIES[name](
        **{**recorded, "weights": None, "classifier_activation": "softmax"}
    )
    network.set_weights(model.get_weights())
    training = {
        "command": " ".join(["python", "examples/train_cifar10.py", *_portable(sys.argv[1:])]),
        "backend": f"{keras.backend.backend()}, Keras {keras.__version__}",
        **{k: v for k, v in vars(args).items() if k not in ("out", "data_dir", "weights")},
        "reported_epoch": args.epochs,
    }
    if args.weights:
        training["start"] = keras_staa.zoo.describe(args.weights)["training"]
    card = {
        "data_set": "cifar10",
        "class_names": keras_staa.data.class_names("cifar10", data_dir=args.data_dir),
        "training": training,
        "history": whole_history(args),
    }
    title = f"{name.removeprefix('STAA').lower()}_w{recorded['width']}_t{recorded['steps']}.cifar10"
    with tempfile.TemporaryDirectory() as folder:
        draft = keras_staa.zoo.save(network, pathlib.Path(folder) / title, **card)
        rounded = keras_staa.zoo.load(draft)
    rounded.compile(loss="categorical_crossentropy", metrics=["accuracy"])
    value = rounded.evaluate(test, return_dict=True, verbose=0)["accuracy"]
    count = sum(len(labels) for _, labels in test)
    print(f"accuracy on {count} images after epoch {args.epochs}: {value:.4f}")
    accuracy = {
        "value": round(value, 4),
        "split": "training images kept apart" if args.held_out else "test",
        "images": count,
        "measured": "python examples/evaluate.py",
    }
    keras_staa.zoo.save(rounded, args.out / title, accuracy=accuracy, **card)


def _portable(argv):
    """The command line, with placeholders for where this machine keeps its files."""
    places = {"--out": "OUT", "--data-dir": "DIR", "--weights": "START"}
    words = [places.get(before, word) for before, word in zip(["", *argv], argv, strict=False)]
    return [shlex.quote(word) for word in words]


def main():
    args = arguments()
    if done := list(args.out.glob(f"*/{keras_staa.presets.DESCRIPTION}")):
        sys.exit(f"{done[0].parent} is there: this run is done.")
    args.out.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(args.seed)
    keras.config.set_dtype_policy(args.policy)
    read = {"data_dir": args.data_dir, "batch_size": args.batch_size, "one_hot": True}
    train = keras_staa.data.images(
        "cifar10",
        "train[:45000]" if args.held_out else "train",
        augment=args.augment,
        seed=args.seed,
        drop_remainder=True,
        **read,
    )
    test = keras_staa.data.images(
        "cifar10", "train[45000:]" if args.held_out else "test", shuffle=False, **read
    )
    model = network(args)
    model.compile(
        optimizer=optimizer(args, len(train)),
        loss=keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=args.label_smoothing
        ),
        metrics=["accuracy"],
    )
    checkpoint = keras_staa.callbacks.Checkpoint(args.out / "checkpoint")
    model.fit(
        train,
        epochs=args.epochs,
        initial_epoch=checkpoint.restore(model),
        shuffle=False,  # `train` is shuffled already
        callbacks=[
            keras.callbacks.CSVLogger(args.out / "history.csv", append=True),
            checkpoint,
        ],
        verbose=2,
    )
    publish(model, args, test)


if __name__ == "__main__":
    main()
