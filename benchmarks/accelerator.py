"""What layers and networks move through memory on GPUs and TPUs, by their compilers alone.

    KERAS_BACKEND=jax JAX_PLATFORMS=cpu python benchmarks/accelerator.py gpu --out FILE.csv
    KERAS_BACKEND=jax JAX_PLATFORMS=cpu python benchmarks/accelerator.py tpu --out FILE.csv

No GPU or TPU is needed: for GPUs install `jax-cuda13-plugin` and `jax-cuda13-pjrt` in JAX's version
and without what they ask for, for TPUs `libtpu`. A layer runs forward and backward (`train`) or
forward alone (`predict`); of a network it is the step that `fit` or `predict` runs. Bytes of a
layer are given in multiples of those of its current.

Time is not measured. "roofline, ms" are three times that nothing can be faster than on the chip as
its maker describes it: of the operations, of the bytes, and of starting the kernels. A row that is
in the file is not compiled again; `--again` compiles it. `all` varies T and width, `base` does not.
"""

import argparse
import pathlib
import time

import keras
import numpy as np

import keras_staa
from keras_staa import csv_files
from keras_staa.layers import LIF, STAALIF
from keras_staa.training import topology

CHIPS = {"gpu": ("h100:1", "a100:1"), "tpu": ("v5e:1x1", "v6e:1x1")}
# Operations a second on matrices of bfloat16, and bytes a second, as published.
PEAKS = {
    "h100": (989e12, 3.35e12),
    "a100": (312e12, 1.555e12),
    "v5e": (197e12, 0.819e12),
    "v6e": (918e12, 1.64e12),
}
# About what it takes to start a kernel of a recorded sequence.
LAUNCH = 2e-6
LAYERS = {
    "ReLU": (keras.layers.ReLU, {}),
    "LIF": (LIF, {}),
    "LIF, M and N learned": (LIF, {"learn": True}),
    "STAALIF": (STAALIF, {"seed": 0}),
    "STAALIF, no position": (STAALIF, {"seed": 0, "position": None}),
    "STAALIF, no context": (STAALIF, {"seed": 0, "context": False}),
}
NETWORKS = ("ReLU", "LIF", "STAA")
# T and width; the first is the base.
POINTS = ((4, 128), (1, 128), (16, 128), (4, 64))
IMAGES = 256
KEY = ("chip", "what", "variant", "width", "T", "mode")
COLUMNS = (
    *KEY,
    "bytes",
    "over ReLU",
    "kernels",
    "temporary, GB",
    "TFLOP",
    "seconds to compile",
    "roofline, ms",
)


def layer(variant, width, steps, mode, mesh):
    """Return a layer as a function, what it is called with, and the bytes of its current."""
    import jax

    make, arguments = LAYERS[variant]
    one = make(**arguments)
    shape = (IMAGES // steps, steps, 32, 32, width)
    one.build(shape)
    training = mode == "train"
    fixed = [(v, v.value) for v in one.non_trainable_variables]
    known = {"training": training} if isinstance(one, STAALIF) else {}

    def call(x, *weights):
        mapping = [*zip(one.trainable_variables, weights, strict=True), *fixed]
        with keras.StatelessScope(state_mapping=mapping):
            return one(x, **known)

    def step(x, g, *weights):
        output, pull = jax.vjp(call, x, *weights)
        return output, pull(g)

    whole = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())

    def abstract(shape, dtype):
        return jax.ShapeDtypeStruct(shape, dtype, sharding=whole)

    x = abstract(shape, "bfloat16")
    weights = [abstract(v.shape, v.dtype) for v in one.trainable_variables]
    inputs = (x, x, *weights) if training else (x, *weights)
    return jax.jit(step if training else call), inputs, 2 * np.prod(shape)


def network(variant, width, steps, mode, mesh):
    """Return the step of a STAAResNet19, what it is called with, and the bytes in a gigabyte."""
    arguments = {"width": width, "steps": steps, "attention": variant == "STAA"}
    if variant == "ReLU":
        arguments |= {"neuron": "relu", "steps": 1}
    model = keras_staa.STAAResNet19(classifier_activation=None, **arguments)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), loss)
    batch = IMAGES // arguments["steps"]
    return *topology.step_of(model, mesh, batch, training=mode == "train"), 1e9


def row(chip, what, variant, width, steps, mode):
    make = {"layer": layer, "network": network}[what]
    mesh = topology.devices(chip)
    function, arguments, unit = make(variant, width, steps, mode, mesh)
    flops = topology.operations(function, arguments)
    start = time.perf_counter()
    found = topology.describe_step(topology.compile_for(mesh, function, arguments))
    seconds = time.perf_counter() - start
    matrices, moved = PEAKS[chip.partition(":")[0]]
    times = (
        flops / matrices,
        found["bytes"] / moved,
        found["kernels"] and found["kernels"] * LAUNCH,
    )
    values = {
        "bytes": f"{found['bytes'] / unit:.2f}",
        "kernels": found["kernels"] or "",
        "TFLOP": f"{flops / 1e12:.3f}",
        "temporary, GB": f"{found['temporary'] / 1e9:.2f}",
        "seconds to compile": round(seconds),
        "roofline, ms": " / ".join("?" if n is None else f"{1e3 * n:.2f}" for n in times),
    }
    key = dict(zip(KEY, (chip, what, variant, width, steps, mode), strict=True))
    return {column: str(value) for column, value in {**key, **values}.items()}


def wanted(args):
    """Return the rows to make, ReLU before the others of its point."""
    for chip in args.chips or CHIPS[args.kind]:
        for what in args.what:
            for steps, width in POINTS[:1] if args.points == "base" else POINTS:
                for mode in args.modes:
                    for variant in args.variants or (LAYERS if what == "layer" else NETWORKS):
                        yield chip, what, variant, width, steps, mode


def with_ratios(rows):
    """Give each row its bytes over those of ReLU at the same point."""

    def point(row):
        return tuple(row[column] for column in KEY if column != "variant")

    relu = {point(row): float(row["bytes"]) for row in rows if row["variant"] == "ReLU"}
    for one in rows:
        base = relu.get(point(one))
        one["over ReLU"] = f"{float(one['bytes']) / base:.2f}" if base else ""
    return [{column: one[column] for column in COLUMNS} for one in rows]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=CHIPS)
    parser.add_argument("points", nargs="?", choices=("base", "all"), default="base")
    parser.add_argument("--chips", nargs="+", help="by default " + str(CHIPS))
    parser.add_argument("--what", nargs="+", default=["layer", "network"])
    parser.add_argument("--modes", nargs="+", default=["train", "predict"])
    parser.add_argument("--variants", nargs="+")
    parser.add_argument("--again", action="store_true", help="compile rows that are in the file")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    args = parser.parse_args()
    keras.config.set_dtype_policy("mixed_bfloat16")
    for key in wanted(args):
        rows = csv_files.read(args.out)
        same = [r for r in rows if tuple(r[column] for column in KEY) == tuple(map(str, key))]
        if same and not args.again:
            continue
        one = row(*key)
        print(one, flush=True)
        args.out.parent.mkdir(parents=True, exist_ok=True)
        csv_files.write(args.out, with_ratios([*(r for r in rows if r not in same), one]))


if __name__ == "__main__":
    main()
