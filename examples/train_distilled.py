"""Train a network on CIFAR-10 or CIFAR-100 with a teacher, on an accelerator, with JAX.

    python examples/train_distilled.py --npz cifar10.npz --out runs/teacher --width 64 \
        --architecture STAAResNet18 --relu --stages 1:30:0.3
    python examples/train_distilled.py --npz cifar10.npz --out runs/student --width 56 \
        --architecture STAAResNet19 --teacher runs/teacher --stages 1:40:0.3 4:20:0.1

The images lie in the memory of the accelerator, and an epoch is one compiled program with its
shuffling, crops, flips and mixtures. A stage `T:EPOCHS:RATE` trains the network with T time steps;
the next one starts from its weights. The student learns the teacher's logits for the same crops
and mixtures: half of the loss is that of the mean over the steps, half that of every step.

`--npz` is a file with the arrays x_train, y_train, x_test and y_test (uint8). Run the same command
again after an interruption and it goes on behind the last finished stage. Without x_test the run
ends with the weights; the same command, with it, then writes the preset.
"""

import csv
import os
import pathlib
import re
import time

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import jax.numpy as jnp
import keras
import numpy as np
import training

import keras_staa
from keras_staa.models.transfer import transfer

PAD = 4
TEACHER, COMMAND, MACHINE = "network.keras", "command.txt", "machine.txt"


def augmented(key, images, share):
    """Random crops and flips of padded images, a share of them mixed with another of the batch.

    Returns images in [0, 1] and the weight of each in its mixture with the one that has its place
    in the reversed batch.
    """
    keys = jax.random.split(key, 4)
    count, size = len(images), images.shape[1] - 2 * PAD
    corners = jax.random.randint(keys[0], (count, 2), 0, 2 * PAD + 1)

    def crop(image, corner):
        return jax.lax.dynamic_slice(image, (*corner, 0), (size, size, image.shape[-1]))

    x = jax.vmap(crop)(images, corners)
    flip = jax.random.bernoulli(keys[1], 0.5, (count, 1, 1, 1))
    x = jnp.where(flip, x[:, :, ::-1], x).astype("float32") / 255
    weight = jax.random.uniform(keys[2], (count, 1, 1, 1))
    weight = jnp.where(jax.random.bernoulli(keys[3], share, weight.shape), weight, 1.0)
    return weight * x + (1 - weight) * x[::-1], weight.reshape(-1, 1)


def loss_of(logits, targets, soft, args):
    """Compute the loss of logits (B, T, classes) by the labels and any soft labels."""
    mean = jnp.mean(logits, axis=1)
    smooth = args.label_smoothing
    targets = targets * (1 - smooth) + smooth / targets.shape[-1]
    by_labels = -jnp.mean(jnp.sum(targets * jax.nn.log_softmax(mean), axis=-1))
    if soft is None:
        return by_labels
    heat = args.temperature
    goal = jax.nn.softmax(soft / heat)[:, None]

    def divergence(logits):
        terms = goal * (jnp.log(goal + 1e-9) - jax.nn.log_softmax(logits / heat))
        return heat**2 * jnp.mean(jnp.sum(terms, axis=-1))

    by_teacher = (divergence(mean[:, None]) + divergence(logits)) / 2
    return (1 - args.teacher_weight) * by_labels + args.teacher_weight * by_teacher


def state_of(model):
    """Weights, their velocities and what else a step changes, as arrays."""
    # Copies, because an epoch's program overwrites the arrays that it is given.
    weights = [jnp.array(v.value) for v in model.trainable_variables]
    rest = [jnp.array(v.value) for v in model.non_trainable_variables]
    return weights, [jnp.zeros_like(w) for w in weights], rest


def epoch_of(model, teacher, args):
    """Compile an epoch: `(state, key, rates, images, labels, taught) -> (state, figures)`."""
    paths = [v.path for v in model.trainable_variables]
    kept = re.compile(rf"(^|/)({'|'.join(training.UNDECAYED)})$")
    decays = [0.0 if kept.search(path) else args.weight_decay for path in paths]
    factors = [args.shift_rate if path.endswith("/beta") else 1.0 for path in paths]
    classes, batch = model.output_shape[-1], args.batch_size

    def forward(weights, rest, images, targets, soft):
        logits, rest = model.stateless_call(weights, rest, images, training=True)
        logits = logits.astype("float32")
        right = jnp.argmax(jnp.mean(logits, axis=1), -1) == jnp.argmax(targets, -1)
        return loss_of(logits, targets, soft, args), (rest, jnp.mean(right.astype("float32")))

    def epoch(state, key, rates, images, labels, taught):
        def step(state, inputs):
            weights, velocities, rest = state
            rate, places, key = inputs
            x, weight = augmented(key, images[places], args.mixed)
            targets = jax.nn.one_hot(labels[places], classes)
            targets = weight * targets + (1 - weight) * targets[::-1]
            soft = None
            if teacher is not None:
                soft, _ = teacher.stateless_call(*taught, x, training=False)
                soft = jnp.mean(soft.astype("float32"), axis=1)
            (loss, (rest, right)), gradients = jax.value_and_grad(forward, has_aux=True)(
                weights, rest, x, targets, soft
            )
            after = [], []
            for w, v, g, decay, factor in zip(
                weights, velocities, gradients, decays, factors, strict=True
            ):
                g = g + decay * w
                v = args.momentum * v + g
                after[0].append(w - rate * factor * (g + args.momentum * v))
                after[1].append(v)
            return (*after, rest), (loss, right)

        order, *keys = jax.random.split(key, len(rates) + 1)
        places = jax.random.permutation(order, len(images))[: len(rates) * batch]
        inputs = rates, places.reshape(-1, batch), jnp.stack(keys)
        state, figures = jax.lax.scan(step, state, inputs)
        return state, tuple(jnp.mean(figure) for figure in figures)

    return jax.jit(epoch, donate_argnums=0)


def rates_of(epochs, steps, peak):
    """Return the learning rate of each step: up for a tenth of them, then a cosine down to 0."""
    place = (np.arange(epochs * steps) + 0.5) / (epochs * steps)
    rates = np.where(place < 0.1, place / 0.1, (1 + np.cos(np.pi * (place - 0.1) / 0.9)) / 2)
    return (peak * rates).reshape(epochs, steps).astype("float32")


def stage(value):
    steps, epochs, rate = value.split(":")
    return int(steps), int(epochs), float(rate)


def arguments():
    parser = training.parser(
        __doc__.split("\n")[0],
        architecture="STAAResNet19",
        batch_size=512,
        weight_decay=5e-4,
        augment="crop 4, flip, mixup",
        policy="mixed_bfloat16",
        label_smoothing=0.0,
        neuron={
            "surrogate": {"class_name": "Triangular", "config": {"width": 2.0}},
            "threshold": 0.5,
        },
    )
    training.image_arguments(parser)
    parser.add_argument(
        "--stages", type=stage, nargs="+", required=True, help="T:EPOCHS:RATE, one after another"
    )
    parser.add_argument("--relu", action="store_true", help="ReLU instead of neurons: a teacher")
    parser.add_argument("--teacher", type=pathlib.Path, help="folder of such a run")
    parser.add_argument("--teacher-weight", type=float, default=0.9, help="of its part of the loss")
    parser.add_argument("--temperature", type=float, default=3.0, help="of the soft labels")
    parser.add_argument("--mixed", type=float, default=0.0, help="share of mixed images")
    parser.add_argument("--momentum", type=float, default=0.9)
    parser.add_argument("--shift-rate", type=float, default=1.0, help="of BN shifts, a factor")
    parser.add_argument(
        "--timing", action="store_true", help="compile, time the epochs of every stage, and end"
    )
    return parser.parse_args()


def network(args, steps, classes, pairs):
    """Return the network of a stage, with logits of every step."""
    more = {"attention": False, "neuron": keras.layers.ReLU()} if args.relu else {}
    return keras_staa.models.FACTORIES[args.architecture](
        **{"width": args.width, "attention": args.attention, "neuron": args.neuron, **more},
        classes=classes,
        steps=steps,
        normalization=pairs,
        step_logits=True,
    )


def train(model, teacher, args, number, data):
    """One stage; its figures go to history.csv, its weights to a file."""
    steps, epochs, peak = args.stages[number]
    images, labels = data
    batches = len(images) // args.batch_size
    run = epoch_of(model, teacher, args)
    taught = None if teacher is None else state_of(teacher)[::2]
    state = state_of(model)
    epochs = 3 if args.timing else epochs
    rates = rates_of(epochs, batches, peak)
    rows, before = [], sum(epochs for _, epochs, _ in args.stages[:number])
    for epoch in range(epochs):
        start = time.perf_counter()
        key = jax.random.fold_in(jax.random.key(args.seed), 1000 * number + epoch)
        state, figures = run(state, key, rates[epoch], images, labels, taught)
        loss, accuracy = map(float, figures)
        seconds = time.perf_counter() - start
        figures = [f"{loss:.5f}", f"{accuracy:.5f}", f"{seconds:.2f}"]
        rows.append([before + epoch, number, steps, *figures])
        print("epoch {} stage {} T={} loss {} accuracy {} {} s".format(*rows[-1]), flush=True)
    if args.timing:
        return
    for variables, values in (
        (model.trainable_variables, state[0]),
        (model.non_trainable_variables, state[2]),
    ):
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
    device = jax.devices()[0].device_kind
    machine = f"jax {jax.__version__}, Keras {keras.__version__}, {device}"
    (args.out / MACHINE).write_text(machine)
    record(args.out / "history.csv", before, rows)
    draft = args.out / f"draft{number}.weights.h5"
    model.save_weights(draft)
    draft.rename(args.out / f"stage{number}.weights.h5")


def record(path, before, rows):
    """Put the rows of a stage behind the `before` epochs of the stages before it.

    Rows of a stage that was cut off ahead of its weights are replaced.
    """
    kept = []
    if path.exists():
        with open(path, newline="") as file:
            kept = list(csv.reader(file))[1 : 1 + before]
    draft = path.with_suffix(".draft")
    with open(draft, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["epoch", "stage", "steps", "loss", "accuracy", "seconds"])
        writer.writerows([*kept, *rows])
    draft.replace(path)


def main():
    args = arguments()
    training.begin(args)
    with np.load(args.npz) as file:
        x, y = file["x_train"], file["y_train"].ravel()
        tests = (file["x_test"], file["y_test"].ravel()) if "x_test" in file else None
    classes = int(y.max()) + 1
    pairs = training.channel_statistics(x)
    files = [args.out / f"stage{number}.weights.h5" for number in range(len(args.stages))]
    done = max((number for number, file in enumerate(files) if file.exists()), default=-1)
    before = data = teacher = None
    if done + 1 < len(args.stages):
        padded = np.pad(x, ((0, 0), (PAD, PAD), (PAD, PAD), (0, 0)), mode="reflect")
        data = jnp.asarray(padded), jnp.asarray(y, "int32")
        teacher = args.teacher and keras.saving.load_model(args.teacher / TEACHER)
    for number in range(max(done, 0), len(args.stages)):
        model = network(args, args.stages[number][0], classes, pairs)
        if number == done:
            model.load_weights(files[number])
        else:
            if before is not None:
                transfer(before, model)
            elif args.architecture == "STAACompact":
                keras_staa.models.whiten(model, x[:5000] / 255.0)
            train(model, teacher, args, number, data)
        before = model
    if args.timing:
        return
    if args.relu:
        (args.out / COMMAND).write_text(training.command())
        model.save(args.out / TEACHER)
    if tests is None or args.relu:
        return
    args.epochs = sum(epochs for _, epochs, _ in args.stages)
    args.steps, _, args.learning_rate = args.stages[-1]
    training.publish_on_images(
        model,
        args,
        *tests,
        split="test",
        backend=(args.out / MACHINE).read_text(),
        teacher=args.teacher and (args.teacher / COMMAND).read_text(),
    )


if __name__ == "__main__":
    main()
