"""Compare the parts of the aggregator: the paper's ablation, with several seeds.

    python examples/compare_parts.py --npz cifar100.npz --out runs/parts --width 32 --epochs 15
    python examples/compare_parts.py --out runs/parts --table

Five networks are trained alike, without a teacher: a baseline without the aggregator, and then each
with one part more than the one before. Each is measured on the test images after the last epoch.
`results.csv` gets one row per training. Run the same command again after an interruption and it
resumes after the last finished training. `--table` prints a table of `results.csv`.

Source: the paper's ablation on CIFAR-100.
"""

import concurrent.futures
import os
import statistics
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

OFF = {"context": False, "position": None, "step_gate": False, "bypass_rate": 0.0}
PARTS = {
    "baseline": False,
    "+ global context": {**OFF, "context": True},
    "+ position encoding": {**OFF, "context": True, "position": "axial"},
    "+ step attention": {"bypass_rate": 0.0},
    "+ time-step random dropout": {"bypass_rate": 0.1},
}


def arguments():
    parser = epochs_parser(
        __doc__.split("\n")[0],
        architecture="STAACompact",
        steps=4,
        epochs=20,
        learning_rate=0.4,
        shift_rate=8.0,
        mixed=0.0,
    )
    parser.add_argument("--npz", help="file of images and labels")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds")
    parser.add_argument("--table", action="store_true", help="print the results and exit")
    return parser.parse_args()


def table(rows):
    """Return a table in Markdown: mean and standard deviation over the seeds, in percent."""
    lines = ["| network | accuracy | seeds |", "|---|---|---|"]
    for name in PARTS:
        found = [100 * float(row["accuracy"]) for row in rows if row["network"] == name]
        if found:
            deviation = statistics.stdev(found) if len(found) > 1 else 0.0
            mean = statistics.mean(found)
            lines.append(f"| {name} | {mean:.2f} ± {deviation:.2f} % | {len(found)} |")
    return "\n".join(lines)


def network(args, attention, classes, pairs):
    return keras_staa.models.FACTORIES[args.architecture](
        width=args.width,
        attention=attention,
        neuron=args.neuron,
        classes=classes,
        steps=args.steps,
        normalization=pairs,
        step_logits=True,
    )


def fit(model, run, args, data, seed):
    """Train a network from its present weights."""
    state = state_of(model)
    rates = rates_of(args.epochs, len(data[0]) // args.batch_size, args.learning_rate)
    for epoch in range(args.epochs):
        key = jax.random.fold_in(jax.random.key(seed), epoch)
        state, _ = run(state, key, rates[epoch], *data, None)
    assign(model, state)


def main():
    args = arguments()
    path = args.out / "results.csv"
    if args.table:
        print(table(csv_files.read(path)))
        return
    training.begin(args)
    with np.load(args.npz) as file:
        x, y = file["x_train"], file["y_train"].ravel()
        test = file["x_test"], file["y_test"].ravel()
    classes, pairs = int(y.max()) + 1, training.channel_statistics(x)
    data = padded(x), jnp.asarray(y, "int32")
    done = {(row["network"], int(row["seed"])) for row in csv_files.read(path)}
    seeds = {n: [s for s in range(args.seeds) if (n, s) not in done] for n in PARTS}
    pool = concurrent.futures.ThreadPoolExecutor()
    models = {name: network(args, PARTS[name], classes, pairs) for name in PARTS if seeds[name]}
    programs = {
        name: pool.submit(lowered(model, None, args, data)[0].compile)
        for name, model in models.items()
    }
    for seed in range(args.seeds):
        for name, model in models.items():
            if seed not in seeds[name]:
                continue
            keras.utils.set_random_seed(seed)
            drawn = network(args, PARTS[name], classes, pairs)
            model.set_weights(drawn.get_weights())
            if args.architecture == "STAACompact":
                keras_staa.models.whiten(model, x[:5000] / 255.0, epsilon=5e-4)
            run, start = programs[name].result(), time.perf_counter()
            fit(model, run, args, data, seed)
            accuracy, seconds = accuracy_of(model, *test), time.perf_counter() - start
            row = {
                "network": name,
                "seed": seed,
                "accuracy": f"{accuracy:.4f}",
                "seconds": f"{seconds:.1f}",
            }
            csv_files.write(path, [*csv_files.read(path), row])
            print(f"{name} seed {seed} accuracy {accuracy:.4f} {seconds:.1f} s", flush=True)
    print(table(csv_files.read(path)))


if __name__ == "__main__":
    main()
