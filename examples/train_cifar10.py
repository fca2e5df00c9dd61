"""Train a spiking network on CIFAR-10 with plain `compile` and `fit`.

    python examples/train_cifar10.py --out runs/vgg_w32_t1.cifar10 --steps 1 --epochs 30

Run the same command again after an interruption and it resumes after the last finished epoch. At
the end the network is measured on the test images and written as a preset, a folder in OUT, which
`keras_staa.zoo.load` reads and `--weights` takes as the start of another run.
"""

import keras
import training

import keras_staa

MEAN = (0.49139968, 0.48215841, 0.44653091)
DEVIATION = (0.24703223, 0.24348513, 0.26158784)


def arguments():
    parser = training.parser(__doc__.split("\n")[0])
    parser.add_argument("--data-dir", help="folder with prepared TFDS data sets")
    parser.add_argument(
        "--held-out", action="store_true", help="hold out 5,000 training images and measure on them"
    )
    return parser.parse_args()


def main():
    args = arguments()
    training.begin(args)
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
    model = training.network(
        args,
        {"normalization": list(zip(MEAN, DEVIATION, strict=True))},
        steps=args.steps,
    )
    model.compile(
        optimizer=training.optimizer(args, model, len(train)),
        loss=keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=args.label_smoothing
        ),
        metrics=["accuracy"],
    )
    training.fit(model, args, train)
    training.publish(
        model,
        args,
        test,
        data_set="cifar10",
        class_names=keras_staa.data.class_names("cifar10", data_dir=args.data_dir),
        split="training images kept apart" if args.held_out else "test",
        unit="images",
    )


if __name__ == "__main__":
    main()
