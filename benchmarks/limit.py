"""Training step and inference of spiking networks over the ReLU network of the same shape.

    KERAS_BACKEND=jax python benchmarks/limit.py

The limit of a spiking network on dense hardware is the same network with ReLU on batch * T images,
since that is how many images its convolutions see. The networks take turns, so that what else the
machine does meets all of them alike, and the medians are compared. The base point is width 32,
T = 4, batch 32, float32; `axes` varies one thing at a time from there, in fewer turns, `grid`
everything. Other T keep batch * T at the base's 128 images.
"""

import argparse
import dataclasses
import itertools
import time

import keras
import numpy as np
from turns import medians, seconds_of

import keras_staa

# What is compiled: "none" is Keras's own choice on a CPU, "neurons" adds `keras_staa.jit_compile`,
# "all" is `jit_compile=True` of `compile`. JAX always compiles everything.
COMPILED = {"tensorflow": ("neurons", "none", "all"), "torch": ("neurons", "none"), "jax": ("all",)}
WIDTHS, STEPS, POLICIES = (16, 32, 64), (1, 2, 4, 8, 16), ("float32", "mixed_bfloat16")
# Along the axes alone, where most of the time goes into compilation.
FEW = {"width": (64,), "steps": (1, 8)}
NETWORKS = ("ReLU", "LIF", "STAA")


@dataclasses.dataclass(frozen=True)
class Point:
    width: int = 32
    steps: int = 4
    images: int = 128
    policy: str = "float32"
    compiled: str = "all"

    def __str__(self):
        return (
            f"{self.width} | {self.steps} | {self.images // self.steps} | {self.policy} | "
            f"{self.compiled}"
        )


def points(which, base):
    """The points to measure, the base first."""
    compiled = COMPILED[keras.backend.backend()]
    if which == "grid":
        return [
            dataclasses.replace(base, width=w, steps=t, policy=p, compiled=c)
            for w, t, p, c in itertools.product(WIDTHS, STEPS, POLICIES, compiled)
        ]
    axes = {"compiled": compiled, "policy": POLICIES, **FEW}
    varied = [
        dataclasses.replace(base, **{name: value})
        for name, values in axes.items()
        for value in values
    ]
    return [base] if which == "base" else list(dict.fromkeys([base, *varied]))


def network(kind, point, remat=False):
    """A compiled model and the number of images or sequences that it gets."""
    keras.config.set_dtype_policy(point.policy)
    create = keras_staa.STAAResNet19
    common = {"width": point.width, "classifier_activation": None, "remat": remat}
    if kind == "ReLU":
        batch = point.images
        model = create(steps=1, attention=False, neuron=keras.layers.ReLU(), **common)
    else:
        batch = point.images // point.steps
        model = create(steps=point.steps, attention=kind == "STAA", **common)
        if point.compiled == "neurons":
            keras_staa.jit_compile(model)
    model.compile(
        keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=True if point.compiled == "all" else "auto",
    )
    return model, batch


def in_turns(runs, seconds, **counts):
    """Median seconds of each function of a dictionary, run in turns as `turns.medians` says."""
    turns = {key: lambda run=run: seconds_of(run) for key, run in runs.items()}
    return medians(turns, seconds, **counts)


def measure(point, inference, seconds, **counts):
    """Medians in seconds of each network's training step and, if asked for, of its inference."""
    rng = np.random.default_rng(0)
    runs = {}
    for kind in NETWORKS:
        model, batch = network(kind, point)
        x = keras.ops.convert_to_tensor(rng.random((batch, 32, 32, 3), "float32"))
        y = keras.ops.convert_to_tensor(rng.integers(0, 10, batch))
        runs[kind, "train"] = lambda model=model, x=x, y=y: model.train_on_batch(x, y)
        if inference:
            runs[kind, "predict"] = lambda model=model, x=x: model.predict_on_batch(x)
    return in_turns(runs, seconds, **counts)


def row(point, found):
    cells = []
    for what in ("train", "predict"):
        if ("ReLU", what) not in found:
            cells += ["", "", ""]
            continue
        relu = found["ReLU", what]
        cells.append(f"{relu:.3f}")
        cells += [f"{found[kind, what] / relu:.2f}" for kind in NETWORKS[1:]]
    return f"| {keras.backend.backend()} | {point} | {' | '.join(cells)} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("points", nargs="?", default="axes", choices=["base", "axes", "grid"])
    parser.add_argument("--images", type=int, default=128, help="batch * T")
    parser.add_argument("--seconds", type=float, default=30.0, help="least time for the base")
    args = parser.parse_args()
    base = Point(images=args.images, compiled=COMPILED[keras.backend.backend()][0])
    print(
        "| backend | width | T | batch | policy | compiled | ReLU train, s | LIF | STAA "
        "| ReLU predict, s | LIF | STAA |\n|" + " --- |" * 12,
        flush=True,
    )
    start = time.perf_counter()
    for point in points(args.points, base):
        first = point == base
        inference = first or args.points == "grid"
        if first:
            found = measure(point, inference, args.seconds)
        else:
            found = measure(point, inference, args.seconds / 4, least=2, before=1)
        print(row(point, found), flush=True)
        keras.utils.clear_session()
    print(f"\n{(time.perf_counter() - start) / 60:.1f} minutes\n", flush=True)


if __name__ == "__main__":
    main()
