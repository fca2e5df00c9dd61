"""What a training step takes on each chip of TPUs, by their compiler. No TPU is needed.

    pip install libtpu==0.0.42.1
    KERAS_BACKEND=jax JAX_PLATFORMS=cpu python benchmarks/tpu.py --out docs/measurements/tpu.csv

The step is that which `fit` runs with the recipe, data-parallel. Each topology is a row; a row that
is in the file is not compiled again. `--fit` looks for the largest batch of one chip.
"""

import argparse
import os
import pathlib
import time

from keras_staa import csv_files, training
from keras_staa.training import topology

TOPOLOGIES = ("v5e:1x1", "v5e:2x2", "v5e:4x4", "v5e:8x8", "v5e:16x16")
COLUMNS = (
    "recipe",
    "width",
    "policy",
    "topology",
    "chips",
    "batch a chip",
    "remat",
    "GB a chip",
    "TFLOP a chip",
    "exchanged",
    "host callbacks",
    "dynamic shapes",
    "float32 convolutions",
    "seconds to compile",
)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--recipe", default="imagenet")
    parser.add_argument("--set", action="append", default=[], dest="changes")
    parser.add_argument("--sample-shape", type=int, nargs="+", default=[224, 224, 3])
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=128, help="samples on each chip")
    parser.add_argument("--remat", action="store_true")
    parser.add_argument("--topologies", nargs="+", default=TOPOLOGIES)
    parser.add_argument("--fit", action="store_true", help="halve the batch until it fits")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    return parser.parse_args()


def step(args, recipe, name, batch):
    """Return the row of a topology, or None if the batch does not fit."""
    chips, start = topology.devices(name).size, time.perf_counter()
    try:
        found = topology.describe_recipe(
            recipe, name, args.sample_shape, args.classes, args.remat, batch * chips
        )
    except Exception as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        print(name, "batch", batch, "does not fit:", str(error).splitlines()[0][:200], flush=True)
        return None
    exchanged = "; ".join(f"{count} {kind}" for kind, count in found["collectives"].items())
    values = (
        args.recipe,
        recipe.network.arguments()["width"],
        recipe.training.policy,
        name,
        chips,
        batch,
        args.remat,
        f"{found['memory'] / 1e9:.2f}",
        f"{found['flops'] / 1e12:.2f}",
        exchanged or "nothing",
        found["callbacks"],
        found["dynamic_shapes"],
        found["float32_convolutions"],
        round(time.perf_counter() - start),
    )
    return dict(zip(COLUMNS, map(str, values), strict=True))


def main():
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    args = arguments()
    recipe = training.load_recipe(args.recipe, args.changes)
    width, policy = str(recipe.network.arguments()["width"]), recipe.training.policy
    for name in args.topologies:
        wanted = (args.recipe, width, policy, name, str(args.batch), str(args.remat))
        known = ("recipe", "width", "policy", "topology", "batch a chip", "remat")
        rows = csv_files.read(args.out)
        if any(tuple(row[column] for column in known) == wanted for row in rows):
            continue
        batch = args.batch
        row = step(args, recipe, name, batch)
        while row is None and args.fit and batch > 1:
            batch //= 2
            row = step(args, recipe, name, batch)
        if row is not None:
            args.out.parent.mkdir(parents=True, exist_ok=True)
            csv_files.write(args.out, [*rows, row])
            print(row, flush=True)


if __name__ == "__main__":
    main()
