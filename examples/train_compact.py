"""Train STAACompact on CIFAR-10 or CIFAR-100 with plain `compile` and `fit`.

    python examples/train_compact.py --out runs/first --npz cifar10.npz --steps 1 --epochs 24

`--npz` is a file with the arrays x_train, y_train, x_test and y_test (uint8), as
`keras.datasets` keeps them. Run the same command again after an interruption and it resumes after
the last finished epoch. At the end the network is measured on the test images and written as a
preset, a folder in OUT, which `keras_staa.zoo.load` reads and `--weights` takes as the start of
another run.
"""

import math
import re

import keras
import numpy as np
import training

import keras_staa

PAD = 2


class Batches(keras.utils.PyDataset):
    """Images in memory, cropped at random and flipped in every second epoch.

    Half of the images, drawn once, are flipped in the even epochs and the others in the odd ones,
    so that two epochs show each image both ways. Order and crops follow from the seed and the
    epoch.
    """

    def __init__(self, images, targets, batch_size, seed):
        super().__init__()
        self.images = np.pad(images, ((0, 0), (PAD, PAD), (PAD, PAD), (0, 0)), mode="reflect")
        self.size = images.shape[1:3]
        self.seed = seed
        self.flipped = np.random.default_rng(seed).random(len(images)) < 0.5
        self.places = keras_staa.data.arrays(
            np.arange(len(images)), targets, batch_size=batch_size, seed=seed, drop_remainder=True
        )
        self.set_epoch(0)

    def __len__(self):
        return len(self.places)

    def __getitem__(self, index):
        chosen, targets = self.places[index]
        draw = np.random.default_rng([self.seed, self.epoch, index])
        top, left = draw.integers(0, 2 * PAD + 1, (2, len(chosen), 1))
        rows, columns = top + np.arange(self.size[0]), left + np.arange(self.size[1])
        flip = self.flipped[chosen] ^ bool(self.epoch % 2)
        columns[flip] = columns[flip, ::-1]
        crops = self.images[chosen[:, None, None], rows[:, :, None], columns[:, None, :]]
        return crops.astype("float32") / 255.0, targets

    def set_epoch(self, epoch):
        self.epoch = epoch
        self.places.set_epoch(epoch)

    def on_epoch_end(self):
        self.set_epoch(self.epoch + 1)


class SGD(keras.optimizers.SGD):
    """SGD whose steps are multiplied for the weights whose path matches a pattern."""

    def __init__(self, *args, multipliers=(), **kwargs):
        super().__init__(*args, **kwargs)
        self.multipliers = [(re.compile(pattern), factor) for pattern, factor in multipliers]

    def apply(self, grads, trainable_variables=None):
        variables = trainable_variables or self._trainable_variables
        # A step of SGD is linear in the gradient.
        scaled = [grad * self.factor(v.path) for grad, v in zip(grads, variables, strict=True)]
        super().apply(scaled, trainable_variables)

    def factor(self, path):
        return math.prod(factor for pattern, factor in self.multipliers if pattern.search(path))


def arguments():
    defaults = {
        "architecture": "STAACompact",
        "width": 64,
        "steps": 1,
        "epochs": 24,
        "batch_size": 512,
        "learning_rate": 0.75,
        "weight_decay": 9e-3,
        "label_smoothing": 0.2,
        "augment": "crop 2, alternating flip",
        "neuron": {"surrogate": "triangular", "threshold": 0.5},
    }
    parser = training.parser(__doc__.split("\n")[0], **defaults)
    training.image_arguments(parser)
    parser.add_argument(
        "--shift-rate",
        type=float,
        default=64.0,
        help="factor of the learning rate of batch normalization's shifts",
    )
    parser.add_argument(
        "--read-out-rate", type=float, default=0.1, help="factor of the read-out's learning rate"
    )
    parser.add_argument(
        "--held-out", action="store_true", help="hold out 5,000 training images and measure on them"
    )
    return parser.parse_args()


def arrays(args):
    with np.load(args.npz) as file:
        x, y = file["x_train"], file["y_train"].ravel()
        if args.held_out:
            return x[:45000], y[:45000], x[45000:], y[45000:]
        return x, y, file["x_test"], file["y_test"].ravel()


def main():
    args = arguments()
    training.begin(args)
    x, y, x_test, y_test = arrays(args)
    classes = int(y.max()) + 1
    train = Batches(x, keras.utils.to_categorical(y, classes), args.batch_size, args.seed)
    model = training.network(
        args,
        {"normalization": training.channel_statistics(x), "classes": classes, "steps": args.steps},
    )
    if not args.weights:
        keras_staa.models.whiten(model, x[:5000] / 255.0)
    spiking = any(hasattr(layer, "jit") for layer in model.layers)
    if spiking and keras.backend.backend() == "torch":
        keras_staa.jit_compile(model)
    rates = [(r"_bn/beta$", args.shift_rate), ("^predictions/", args.read_out_rate)]
    model.compile(
        optimizer=training.optimizer(
            args,
            model,
            len(train),
            SGD,
            momentum=0.85,
            undecayed=model.get_layer("predictions").trainable_variables,
            multipliers=rates,
        ),
        loss=keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=args.label_smoothing
        ),
        metrics=["accuracy"],
    )
    print(f"{model.count_params()} parameters, {len(train)} steps an epoch", flush=True)
    training.fit(model, args, train)
    training.publish_on_images(
        model,
        args,
        x_test,
        y_test,
        split="training images kept apart" if args.held_out else "test",
    )


if __name__ == "__main__":
    main()
