"""Training step and inference of spiking networks over the ReLU network of the same shape.

    KERAS_BACKEND=jax python benchmarks/limit.py

The limit of a spiking network on dense hardware is the same network with ReLU on batch * T images,
since that is how many images its convolutions see. The networks take turns, so that what else the
machine does meets all of them alike, and the medians are compared. The base point is width 32,
T = 4, batch 32, float32; `axes` varies one thing at a time from there, in fewer turns, and leaves
out bfloat16 where the processor has to emulate it; `grid` measures everything, for hours, or the
part that --widths, --steps and --policies name. `bfloat16` measures width 64 with 64 images in
`mixed_bfloat16`, for T = 1 and 4, where the processor has such numbers. Other T keep batch * T at
the base's 128 images, and the ReLU network with them. All networks are made of the same layers for
convolution and normalization.
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
KINDS = ("neurons", "none", "all")
WIDTHS, STEPS, POLICIES = (16, 32, 64), (1, 2, 4, 8, 16), ("float32", "mixed_bfloat16")
# Along the axes alone, where most of the time goes into compilation.
FEW = {"width": (16,), "steps": (1, 8)}
# A policy that makes the ReLU network so many times as slow is not measured along the axes.
EMULATED = 4
NETWORKS = ("ReLU", "LIF", "STAA")
# Where convolutions of 16 bits are fast, and neurons weigh the most.
BFLOAT16 = {"width": 64, "images": 64, "policy": "mixed_bfloat16"}


@dataclasses.dataclass(frozen=True)
class Point:
    width: int = 32
    steps: int = 4
    images: int = 128
    policy: str = "float32"
    compiled: str = "all"

    def without_neurons(self):
        """Return what the ReLU network depends on: not T, and it has no neurons to compile."""
        compiled = "none" if self.compiled == "neurons" else self.compiled
        return dataclasses.replace(self, steps=1, compiled=compiled)

    def __str__(self):
        return (
            f"{self.width} | {self.steps} | {self.images // self.steps} | {self.policy} | "
            f"{self.compiled}"
        )


def points(args, base):
    """Return the points to measure, the base first but in a grid."""
    compiled = [c for c in COMPILED[keras.backend.backend()] if c in args.compiled]
    if args.points == "grid":
        return [
            dataclasses.replace(base, width=w, steps=t, policy=p, compiled=c)
            for w, p, c, t in itertools.product(args.widths, args.policies, compiled, args.steps)
        ]
    if args.points == "bfloat16":
        return [
            dataclasses.replace(base, steps=t, compiled=c, **BFLOAT16)
            for t in (1, 4)
            for c in compiled
            if t in args.steps
        ]
    axes = {"compiled": compiled, "policy": POLICIES, **FEW}
    varied = [
        dataclasses.replace(base, **{name: value})
        for name, values in axes.items()
        for value in values
    ]
    return [base] if args.points == "base" else list(dict.fromkeys([base, *varied]))


def network(kind, point, remat=False):
    """Return a compiled model and the number of images or sequences that it gets."""
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
    # As `fit` does: TensorFlow traces a step twice that makes the optimizer's variables.
    model.optimizer.build(model.trainable_variables)
    return model, batch


def in_turns(runs, seconds, **counts):
    """Median seconds of each function of a dictionary, run in turns as `turns.medians` says."""
    turns = {key: lambda run=run: seconds_of(run) for key, run in runs.items()}
    return medians(turns, seconds, **counts)


def batch_of(size):
    """Images in [0, 1) and classes."""
    rng = np.random.default_rng(0)
    images = keras.ops.convert_to_tensor(rng.random((size, 32, 32, 3), "float32"))
    return images, keras.ops.convert_to_tensor(rng.integers(0, 10, size))


def slowness(point, seconds):
    """How long an image takes in the ReLU network of a point, over `seconds` for all of them."""
    model, batch = network("ReLU", point)
    few = batch_of(batch // 8)
    model.train_on_batch(*few)
    return 8 * seconds_of(lambda: model.train_on_batch(*few)) / seconds


def measure(point, relus, inference, seconds, **counts):
    """Medians in seconds of each network's training step and, if asked for, of its inference.

    `relus` are the ReLU networks that earlier points made; a new one is added.
    """
    runs = {}
    for kind in NETWORKS:
        if kind == "ReLU":
            reference = point.without_neurons()
            if reference not in relus:
                relus[reference] = network(kind, reference)
            model, batch = relus[reference]
        else:
            model, batch = network(kind, point)
        x, y = batch_of(batch)
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
    choices = ["base", "axes", "grid", "bfloat16"]
    parser.add_argument("points", nargs="?", default="axes", choices=choices)
    parser.add_argument("--images", type=int, default=128, help="batch * T")
    parser.add_argument("--seconds", type=float, default=15.0, help="least time for the base")
    grid = parser.add_argument_group("the grid and bfloat16")
    grid.add_argument("--widths", type=int, nargs="+", default=WIDTHS)
    grid.add_argument("--steps", type=int, nargs="+", default=STEPS)
    grid.add_argument("--compiled", nargs="+", default=KINDS, choices=KINDS)
    grid.add_argument("--policies", nargs="+", default=POLICIES, choices=POLICIES)
    args = parser.parse_args()
    base = Point(images=args.images, compiled=COMPILED[keras.backend.backend()][0])
    print(
        "| backend | width | T | batch | policy | compiled | ReLU train, s | LIF | STAA "
        "| ReLU predict, s | LIF | STAA |\n|" + " --- |" * 12,
        flush=True,
    )
    start = time.perf_counter()
    relus, relu_seconds = {}, None
    for point in points(args, base):
        first = point == base
        if args.points == "axes" and point.policy != base.policy:
            times = slowness(point, relu_seconds)
            if times > EMULATED:
                # A CPU without such numbers, of which the point would say nothing.
                print(f"| {keras.backend.backend()} | {point} | {times:.1f} x base" + " | |" * 3)
                continue
        inference = first or args.points in ("grid", "bfloat16")
        if first or args.points == "bfloat16":
            found = measure(point, relus, inference, args.seconds)
            relu_seconds = found["ReLU", "train"]
        else:
            turns = {"least": 2, "before": 1, "enough": 10}
            found = measure(point, relus, inference, args.seconds / 4, **turns)
        print(row(point, found), flush=True)
    print(f"\n{(time.perf_counter() - start) / 60:.1f} minutes\n", flush=True)


if __name__ == "__main__":
    main()
