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
again after an interruption and it resumes after the last finished stage. Without x_test the run
ends with the weights; the same command, with it, then writes the preset.
"""

import concurrent.futures
import json
import os
import pathlib
import time

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import jax.numpy as jnp
import keras
import numpy as np
import training
from compiled_epochs import (
    accuracy_of,
    assign,
    epochs_parser,
    lowered,
    padded,
    rates_of,
    state_of,
)

import keras_staa
from keras_staa import csv_files
from keras_staa.models.transfer import transfer

COLUMNS = ("epoch", "stage", "steps", "loss", "accuracy", "seconds")
TEACHER, ORIGIN, MACHINE = "network.keras", "origin.json", "machine.txt"


def stage(value):
    steps, epochs, rate = value.split(":")
    return int(steps), int(epochs), float(rate)


def arguments():
    parser = epochs_parser(
        __doc__.split("\n")[0],
        architecture="STAAResNet19",
        augment="crop 4, flip, mixup",
        label_smoothing=0.0,
        shift_rate=1.0,
    )
    training.image_arguments(parser)
    parser.add_argument(
        "--stages",
        type=stage,
        nargs="+",
        required=True,
        help="stages of training, each T:EPOCHS:RATE",
    )
    parser.add_argument(
        "--relu", action="store_true", help="train a teacher, with ReLU instead of neurons"
    )
    parser.add_argument("--teacher", type=pathlib.Path, help="folder of a run with --relu")
    parser.add_argument(
        "--teacher-weight", type=float, default=0.9, help="weight of the teacher's part of the loss"
    )
    parser.add_argument(
        "--temperature", type=float, default=3.0, help="temperature of the soft labels"
    )
    parser.add_argument(
        "--mixed", type=float, default=0.0, help="fraction of images that mixup applies to"
    )
    parser.add_argument(
        "--whitening",
        type=float,
        default=0.05,
        help="epsilon of `keras_staa.models.whiten`; the networks published first had 5e-4",
    )
    parser.add_argument(
        "--timing",
        action="store_true",
        help="compile and time the epochs of every stage, then exit",
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


def train(model, run, taught, args, number, data):
    """One stage; its figures go to history.csv, its weights to a file."""
    steps, epochs, peak = args.stages[number]
    images, labels = data
    state = state_of(model)
    epochs = 3 if args.timing else epochs
    rates = rates_of(epochs, len(images) // args.batch_size, peak)
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
    assign(model, state)
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
    kept = csv_files.read(path)[:before]
    csv_files.write(path, [*kept, *(dict(zip(COLUMNS, row, strict=True)) for row in rows)])


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
    models = {
        number: network(args, args.stages[number][0], classes, pairs)
        for number in range(max(done, 0), len(args.stages))
    }
    programs = {}
    if done + 1 < len(args.stages):
        data = padded(x), jnp.asarray(y, "int32")
        teacher = args.teacher and keras.saving.load_model(args.teacher / TEACHER)
        # All stages are compiled while the first one trains.
        pool = concurrent.futures.ThreadPoolExecutor()
        for number in range(done + 1, len(args.stages)):
            program, taught = lowered(models[number], teacher, args, data)
            programs[number] = pool.submit(program.compile)
    for number, model in models.items():
        if number == done:
            model.load_weights(files[number])
        else:
            if before is not None:
                transfer(before, model)
            elif args.architecture == "STAACompact":
                keras_staa.models.whiten(model, x[:5000] / 255.0, args.whitening)
            train(model, programs[number].result(), taught, args, number, data)
        before = model
    if args.timing:
        return
    if args.relu:
        origin = {"command": training.command()}
        if tests is not None:
            origin["accuracy"] = accuracy_of(model, *tests)
            print(f"accuracy {origin['accuracy']:.4f}")
        (args.out / ORIGIN).write_text(json.dumps(origin))
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
        teacher=args.teacher and json.loads((args.teacher / ORIGIN).read_text()),
    )


if __name__ == "__main__":
    main()
