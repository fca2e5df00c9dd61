"""Train a spiking network on recordings of event cameras with plain `compile` and `fit`.

    python examples/train_events.py --data N-MNIST --out runs/nmnist --width 8 --epochs 30

DATA is a folder with `Train` and `Test` or the name of a data set that tonic downloads (see
docs/events.md). Run the same command again after an interruption and it resumes after the last
finished epoch. At the end the network is measured on the test split and written as a preset, a
folder in OUT, which `keras_staa.zoo.load` reads and `--weights` takes as the start of another run.
"""

import json
import pathlib

import keras
import recordings
import training

import keras_staa


def arguments():
    parser = training.parser(
        __doc__.split("\n")[0], steps=10, width=8, batch_size=32, augment="shift"
    )
    parser.add_argument(
        "--data", required=True, help="folder of recordings, or name of a data set of tonic"
    )
    parser.add_argument("--name", help="name of the data set; by default that of the folder")
    parser.add_argument("--split", default="train")
    parser.add_argument("--test-split", default="test")
    parser.add_argument(
        "--held-out",
        action="store_true",
        help="hold out a fifth of the training split and measure on it: of the recordings of each "
        "class, or where a class has only one, the last fifth of the time of each",
    )
    parser.add_argument("--size", type=int, help="height and width of the frames")
    parser.add_argument(
        "--by", default="time", help="time or count: what the frames of a sample have in common"
    )
    parser.add_argument("--window", type=float, help="length of a sample in seconds")
    parser.add_argument(
        "--stride", type=float, help="seconds between the starts of training windows"
    )
    parser.add_argument(
        "--normalize", action="store_true", help="divide each sample by its largest count"
    )
    parser.add_argument("--loss", default="cross-entropy", choices=["cross-entropy", "TET"])
    parser.add_argument("--cache-dir", help="folder for cached frames")
    return parser.parse_args()


def augmentation(text):
    """None, a policy, or layers."""
    if not text.startswith("{"):
        return None if text == "none" else text
    layers = json.loads(text).items()
    return [getattr(keras_staa.data, name)(**given) for name, given in layers]


def main():
    args = arguments()
    training.begin(args)
    train, test = recordings.splits(
        args.data,
        args.split,
        args.test_split,
        args.held_out,
        train={
            "stride": args.stride,
            "augment": augmentation(args.augment),
            "seed": args.seed,
            "drop_remainder": True,
        },
        test={},
        steps=args.steps,
        size=args.size,
        by=args.by,
        window=args.window,
        normalize=args.normalize,
        batch_size=args.batch_size,
        one_hot=True,
        cache_dir=args.cache_dir,
    )
    tet = args.loss == "TET"
    model = training.network(
        args,
        {},
        input_shape=train.cache.shape,
        classes=len(train.classes),
        step_logits=tet,
    )
    if tet:
        loss = keras_staa.losses.TET(label_smoothing=args.label_smoothing)
    else:
        loss = keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=args.label_smoothing
        )
    model.compile(
        optimizer=training.optimizer(args, model, len(train)),
        loss=loss,
        metrics=[keras_staa.metrics.step_accuracy if tet else "accuracy"],
    )
    training.fit(model, args, train)
    training.publish(
        model,
        args,
        test,
        data_set=args.name or pathlib.Path(args.data).name,
        class_names=train.classes,
        split="training recordings kept apart" if args.held_out else args.test_split,
        unit="samples",
        data=train.description,
        test_data=test.description,
    )


if __name__ == "__main__":
    main()
