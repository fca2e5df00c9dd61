"""What each part of the aggregator is worth: networks with one part less, with several seeds.

    python examples/ablation.py --npz cifar100.npz --out runs/ablation
    python examples/ablation.py --out runs/ablation --table

A network without the aggregator is trained with T = 1 and lends its weights to all others. These
are trained alike with more time steps: without the aggregator, with all of it, with all but one
part, and with the first form of step attention. Each is measured on the test images after the last
epoch; nothing is chosen by them. `results.csv` gets a row per training, also with the accuracy
when one kind of gate is set to 1 afterwards, and how far step gates move. Run the same command
again after an interruption and it resumes after the last finished training. `--table` prints
tables of `results.csv`, with p-values of paired differences (SciPy must be installed).
"""

import argparse
import os
import pathlib
import statistics
import time

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import numpy as np
import training

import keras_staa
from keras_staa import csv_files
from keras_staa.models.transfer import transfer
from keras_staa.optimizers import ScaledSGD

PARTS = {
    "no aggregator": False,
    "aggregator": {},
    "without step gate": {"step_gate": False},
    "without channel gate": {"context": False},
    "without position encoding": {"position": None},
    "first form of step gate": {"step_gate": "mean"},
}
WHOLE, START = "aggregator", "start.weights.h5"
NEURON = {
    "learn": True,
    "threshold": 0.5,
    "surrogate": {"class_name": "Triangular", "config": {"width": 2.0}},
}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--npz", type=pathlib.Path, help="file of images and labels")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder of the run")
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--steps", type=int, default=4, help="time steps T")
    parser.add_argument("--start-epochs", type=int, default=20, help="epochs with T = 1")
    parser.add_argument("--epochs", type=int, default=4, help="epochs with all time steps")
    parser.add_argument("--start-rate", type=float, default=0.1, help="peak of the learning rate")
    parser.add_argument("--rate", type=float, default=0.05, help="the same with all time steps")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds")
    parser.add_argument("--policy", default="mixed_bfloat16", help="dtype policy")
    parser.add_argument("--table", action="store_true", help="print the results and exit")
    return parser.parse_args()


def network(args, attention, steps, x, classes):
    return keras_staa.STAACompact(
        width=args.width,
        steps=steps,
        classes=classes,
        attention=attention,
        neuron=NEURON,
        normalization=training.channel_statistics(x),
        classifier_activation=None,
    )


def fit(model, args, epochs, rate, seed):
    """Train a network; the order and the augmentation depend on the seed alone.

    The state is kept after every epoch in `backup`, and an interrupted training resumes from it.
    """
    batches = keras_staa.data.images(
        args.npz, batch_size=args.batch_size, augment="standard", seed=seed, drop_remainder=True
    )
    total = epochs * len(batches)
    warmup = total // 8
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, total - warmup, warmup_target=rate, warmup_steps=warmup
    )
    sgd = ScaledSGD(schedule, {"beta": 8.0}, momentum=0.9, nesterov=True, weight_decay=5e-3)
    sgd.exclude_from_weight_decay(var_list=keras_staa.layers.undecayed_weights(model))
    model.compile(sgd, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    keras_staa.jit_compile(model)
    backup = keras.callbacks.BackupAndRestore(args.out / "backup" / f"{model.name}_{seed}")
    model.fit(batches, epochs=epochs, verbose=2, callbacks=[backup])


def accuracy_of(model, images, labels):
    found = [
        keras.ops.convert_to_numpy(model.predict_on_batch(images[i : i + 500] / np.float32(255)))
        for i in range(0, len(images), 500)
    ]
    return float((np.concatenate(found).argmax(-1) == labels).mean())


def aggregators(model):
    return [layer.staa for layer in model.layers if hasattr(layer, "staa")]


def without(model, part):
    """Return a copy of a trained network in which one kind of gate is 1."""
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    for staa in aggregators(copy):
        gate = getattr(staa, part)
        if gate is not None:
            for weight in (gate.excite, gate.excite_bias):
                weight.assign(np.zeros(weight.shape, "float32"))
    return copy


def movement(model, images):
    """Mean over layers of the deviation of step gates over images, and over time steps."""
    maps = keras_staa.insight.attention_maps(model, images / np.float32(255))
    gates = [one.step_gate for one in maps.layers.values() if one.step_gate is not None]
    if not gates:
        return "", ""
    over_images = statistics.mean(float(gate.std(axis=0).mean()) for gate in gates)
    over_steps = statistics.mean(float(gate.std(axis=1).mean()) for gate in gates)
    return f"{over_images:.4f}", f"{over_steps:.4f}"


def measured(model, test):
    row = {"accuracy": f"{accuracy_of(model, *test):.4f}"}
    for column, part in (("step gates 1", "step_attention"), ("channel gates 1", "context")):
        found = any(getattr(staa, part) is not None for staa in aggregators(model))
        row[column] = f"{accuracy_of(without(model, part), *test):.4f}" if found else ""
    moves = movement(model, test[0][:500]) if aggregators(model) else ("", "")
    return {**row, "over images": moves[0], "over steps": moves[1]}


def table(rows):
    """Return tables in Markdown: accuracies in percent, and paired differences from the whole."""
    from scipy import stats

    def by_seed(name, column="accuracy"):
        found = [row for row in rows if row["network"] == name and row[column]]
        return {row["seed"]: 100 * float(row[column]) for row in found}

    lines = ["| network | accuracy | difference to the aggregator | p | seeds |", "|---" * 5 + "|"]
    whole = by_seed(WHOLE)
    for name in PARTS:
        found = by_seed(name)
        if len(found) < 2:
            continue
        values = list(found.values())
        cells = [f"{statistics.mean(values):.2f} ± {statistics.stdev(values):.2f} %", "", ""]
        pairs = [(found[seed], whole[seed]) for seed in found if seed in whole]
        if name != WHOLE and len(pairs) > 1:
            test = stats.ttest_rel(*zip(*pairs, strict=True))
            cells[1] = f"{statistics.mean(a - b for a, b in pairs):+.2f}"
            cells[2] = f"{test.pvalue:.3f}"
        lines.append(f"| {name} | {' | '.join(cells)} | {len(values)} |")
    lines += ["", "| network | step gates 1 | channel gates 1 | over images | over steps |"]
    lines.append("|---" * 5 + "|")
    for name in PARTS:
        cells = []
        for column in ("step gates 1", "channel gates 1"):
            after, before = by_seed(name, column), by_seed(name)
            cells.append(
                f"{statistics.mean(after[s] - before[s] for s in after):+.2f}" if after else ""
            )
        for column in ("over images", "over steps"):
            found = by_seed(name, column).values()
            cells.append(f"{statistics.mean(found) / 100:.4f}" if found else "")
        if any(cells):
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def start(args, x, classes):
    """Return the network with T = 1 that all others start from, trained if it is not there."""
    keras.utils.set_random_seed(1000)
    model, path = network(args, False, 1, x, classes), args.out / START
    if not path.exists():
        keras_staa.models.whiten(model, x[:5000] / 255.0)
        fit(model, args, args.start_epochs, args.start_rate, seed=1000)
        draft = args.out / f"draft.{START}"
        model.save_weights(draft)
        draft.rename(path)
    model.load_weights(path)
    return model


def main():
    args = arguments()
    path = args.out / "results.csv"
    if args.table:
        print(table(csv_files.read(path)))
        return
    args.out.mkdir(parents=True, exist_ok=True)
    keras.config.set_dtype_policy(args.policy)
    with np.load(args.npz) as file:
        x, classes = file["x_train"], int(file["y_train"].max()) + 1
        test = file["x_test"], file["y_test"].ravel()
    source = start(args, x, classes)
    done = {(row["network"], int(row["seed"])) for row in csv_files.read(path)}
    for seed in range(args.seeds):
        for name, attention in PARTS.items():
            if (name, seed) in done:
                continue
            keras.utils.set_random_seed(seed)
            model, begin = network(args, attention, args.steps, x, classes), time.perf_counter()
            transfer(source, model, swapped=True)
            fit(model, args, args.epochs, args.rate, seed)
            seconds = f"{time.perf_counter() - begin:.1f}"
            row = {"network": name, "seed": seed, **measured(model, test), "seconds": seconds}
            csv_files.write(path, [*csv_files.read(path), row])
            print(row, flush=True)
    print(table(csv_files.read(path)))


if __name__ == "__main__":
    main()
