"""Memory of a training step over the ReLU network of the same shape, and what `remat` saves.

    KERAS_BACKEND=jax python benchmarks/memory.py

On JAX the compiler says what a step allocates besides the weights, the optimizer's state and the
batch; nothing is run for it. On TensorFlow and PyTorch a fresh process runs two steps, and what
counts is how far its resident memory rises above that after a step of one sequence; large blocks
that are freed go back to the system at once there, so that what is resident is in use. `--time`
runs the network with and without `remat` in turns. `--kept`, on PyTorch, counts the distinct
buffers that the forward pass keeps for the gradient.
"""

import argparse
import os
import resource
import subprocess
import sys

import keras
from libraries.environment import RETURNED
from limit import Point, batch_of, in_turns, network

KINDS = ("ReLU", "LIF", "STAA", "LIF remat", "STAA remat")


def made(kind, steps, args):
    """Return the model and the number of sequences; `batch` * T = `images` images in all."""
    name, _, remat = kind.partition(" ")
    return network(name, Point(args.width, steps, args.images, compiled="none"), bool(remat))


def allocated(model, batch):
    """Bytes of temporary buffers of a training step, as JAX plans them; its loss is an object."""
    import jax

    model.optimizer.build(model.trainable_variables)
    x = jax.ShapeDtypeStruct((batch, *model.input_shape[1:]), "float32")
    y = jax.ShapeDtypeStruct((batch,), "int32")
    trainable = [v.value for v in model.trainable_variables]
    fixed = [v.value for v in model.non_trainable_variables]
    optimizer = [v.value for v in model.optimizer.variables]

    def loss(trainable, fixed, x, y):
        outputs, fixed = model.stateless_call(trainable, fixed, x, training=True)
        return model.loss(y, outputs), fixed

    def step(trainable, fixed, optimizer, x, y):
        (value, fixed), gradients = jax.value_and_grad(loss, has_aux=True)(trainable, fixed, x, y)
        trainable, optimizer = model.optimizer.stateless_apply(optimizer, gradients, trainable)
        return value, trainable, fixed, optimizer

    lowered = jax.jit(step, donate_argnums=(0, 1, 2)).lower(trainable, fixed, optimizer, x, y)
    return lowered.compile().memory_analysis().temp_size_in_bytes


def resident(model, batch):
    """Bytes by which this process grows in two training steps."""
    # What a first step loads and compiles does not count.
    stepper(model, 1)()
    return growth(stepper(model, batch))


def growth(run):
    """By how many bytes the peak of this process rises above what it holds, in two runs."""
    with open("/proc/self/statm") as file:
        before = int(file.read().split()[1]) * resource.getpagesize()
    run()
    run()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before


def kept(model, batch):
    """Bytes of the distinct buffers that PyTorch keeps for the gradient, weights among them."""
    from torch.autograd.graph import saved_tensors_hooks

    held = {}

    def hold(tensor):
        # Held until all are counted, so that no address is used twice.
        held[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    x, y = batch_of(batch)
    with saved_tensors_hooks(hold, lambda tensor: tensor):
        model.compute_loss(x, y, model(x, training=True))
    return sum(tensor.untyped_storage().nbytes() for tensor in held.values())


def stepper(model, batch):
    x, y = batch_of(batch)
    return lambda: model.train_on_batch(x, y)


def measured(kind, steps, args):
    if keras.backend.backend() == "jax":
        return allocated(*made(kind, steps, args))
    command = [sys.executable, __file__, "--one", kind, "--steps", str(steps)]
    command += ["--width", str(args.width), "--images", str(args.images)]
    run = subprocess.run(
        command, check=True, capture_output=True, text=True, env={**os.environ, **RETURNED}
    )
    return int(run.stdout)


def slowdown(kind, steps, args, seconds=30):
    """Median time of a training step with `remat` over that without, taken in turns."""
    runs = {name: stepper(*made(name, steps, args)) for name in (kind, f"{kind} remat")}
    found = in_turns(runs, seconds, least=5)
    return found[f"{kind} remat"] / found[kind]


def print_kept(args):
    print(f"| T | {' | '.join(f'{kind}, MB' for kind in KINDS)} |\n|" + " --- |" * 6)
    for steps in args.steps:
        sizes = [kept(*made(kind, steps, args)) / 1e6 for kind in KINDS]
        print(f"| {steps} | {' | '.join(f'{size:.0f}' for size in sizes)} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--images", type=int, default=128, help="batch * T")
    parser.add_argument("--steps", type=int, nargs="+", default=[4, 16], help="time steps T")
    parser.add_argument("--time", action="store_true", help="also time STAA with remat")
    parser.add_argument("--kept", action="store_true", help="what PyTorch keeps for the gradient")
    parser.add_argument("--one", choices=KINDS, help="print one figure, measured in this process")
    args = parser.parse_args()
    if args.one:
        print(resident(*made(args.one, args.steps[0], args)))
        return
    if args.kept:
        if keras.backend.backend() != "torch":
            parser.error(f"--kept is for PyTorch; the backend is {keras.backend.backend()}")
        print_kept(args)
        return
    base = measured("ReLU", 1, args)
    last = ["STAA remat, time over STAA"] if args.time else []
    columns = ["backend", "T", "batch", "ReLU, MB", *KINDS[1:], *last]
    print(f"| {' | '.join(columns)} |\n|" + " --- |" * len(columns), flush=True)
    for steps in args.steps:
        cells = [keras.backend.backend(), steps, args.images // steps, f"{base / 1e6:.0f}"]
        cells += [f"{measured(kind, steps, args) / base:.2f}" for kind in KINDS[1:]]
        if args.time:
            cells.append(f"{slowdown('STAA', steps, args):.2f}")
        print(f"| {' | '.join(map(str, cells))} |", flush=True)


if __name__ == "__main__":
    main()
