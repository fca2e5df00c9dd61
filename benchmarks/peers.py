"""The same network and the same layer in other libraries of spiking neurons, timed in turns.

    python benchmarks/peers.py

Installs SpikingJelly, snnTorch, Norse and Spyx in an environment of their own, once, and goes on
there. Every library of PyTorch runs in one process; JAX and TensorFlow have one each. All take
turns step by step, so that what else the machine does meets all alike, and medians are compared.
Before anything is timed, the libraries must agree.
"""

import argparse
import contextlib
import os
import sys

import numpy as np
from libraries import environment
from libraries.worker import Worker, workers
from turns import medians as timed

OURS, PYTORCH = "keras-staa", "keras-staa, PyTorch"
SAME = {"SpikingJelly", "snnTorch"}
# Relative difference of float32 results that count as equal.
NEAR = 1e-4


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    print("\n".join(f"| {' | '.join(line)} |" for line in lines), flush=True)


def relative(array, reference):
    return float(np.abs(array - reference).max() / np.abs(reference).max())


def network(hands, args):
    """Return the plain LIF ResNet-19."""
    turns, checks, weights = {}, {}, None
    for hand in hands.values():
        keys, found, weights = hand.ask(
            "network", args.width, args.steps, args.batch, args.singles, weights=weights
        )
        checks |= found
        turns |= {key: lambda hand=hand, key=key: hand.ask("seconds", key) for key in keys}
    agreed = network_agreement(checks)
    medians = timed(turns, args.seconds)
    rows, libraries = [], list(dict.fromkeys(library for library, _ in turns))
    for library in libraries:
        cells = [library]
        for what in ("train", "predict"):
            ours = {k: s for k, s in medians.items() if k[0].startswith(OURS) and k[1] == what}
            torch = min(s for (name, _), s in ours.items() if name.startswith(PYTORCH))
            own = medians[library, what]
            cells += [f"{own:.3f}", f"{own / min(ours.values()):.2f}", f"{own / torch:.2f}"]
        rows.append(cells)
    head = ["library"]
    for what in ("training step", "inference"):
        head += [f"{what}, s", "over our fastest", "over ours on PyTorch"]
    print()
    table(head, rows)
    return agreed


def network_agreement(checks):
    """Print how near the logits and gradients are; whether all are near enough.

    Libraries round differently, and where a potential is within rounding of the threshold a spike
    flips: the logits of that image move a little, and the gradient, which goes through all layers
    of normalization over that image, a lot. So images are counted; wrong dynamics would leave none.
    """
    logits, gradients = checks[PYTORCH]
    rows, agreed = [], True
    for name, (own, slopes) in checks.items():
        same = np.abs(own - logits).max(1) <= NEAR * np.abs(logits).max()
        classes = own.argmax(1) == logits.argmax(1)
        near = [relative(*pair) for pair in zip(slopes, gradients, strict=True)]
        equal = np.array(near) <= NEAR
        agreed &= same.mean() > 0.5 and classes.mean() >= 0.9 and equal.mean() > 0.5
        counts = [f"{c.sum()} of {len(c)}" for c in (same, classes, equal)]
        difference = f"{np.abs(own - logits).max():.1e}"
        rows.append([name, counts[0], difference, *counts[1:], f"{np.median(near):.1e}"])
    head = [
        f"compared with {PYTORCH}",
        "images of equal logits",
        "largest difference",
        "of equal class",
        "of equal gradient of the first kernel",
        "its relative difference, median",
    ]
    table(head, rows)
    return agreed


def layer(hands, args):
    """Dense and LIF, forward and backward."""
    medians, shares, agreed = {}, {}, True
    for n in args.neurons:
        rng = np.random.default_rng(0)
        x = rng.standard_normal((args.sequence, 16, n), "float32")
        kernel = rng.uniform(-(n**-0.5), n**-0.5, (n, n)).astype("float32")
        checks, turns = {}, {}
        for hand in hands.values():
            found = hand.ask("layer", x, kernel)
            checks |= found
            turns |= {key: lambda hand=hand, key=key: hand.ask("seconds", key) for key in found}
        spikes, gradient = checks[PYTORCH]
        for name, (own, slope) in checks.items():
            # One flipped spike is seen in one column of the gradient: the norm weighs it as one.
            different = float(np.mean(own != spikes))
            near = float(np.linalg.norm(slope - gradient) / np.linalg.norm(gradient))
            shares.setdefault(name, []).append((different, near))
            if name in SAME or name.startswith(OURS):
                agreed &= different <= NEAR and near <= 1e-2
        medians[n] = timed(turns, args.seconds / 2)
    rows = []
    for name in shares:
        cells = [name]
        for n in args.neurons:
            fastest = min(s for key, s in medians[n].items() if key.startswith(OURS))
            own = medians[n][name]
            cells += [f"{own * 1e3:.1f}", f"{own / fastest:.2f}"]
        rows.append([*cells, *(f"{max(values):.1e}" for values in zip(*shares[name], strict=True))])
    head = ["library"]
    for n in args.neurons:
        head += [f"n = {n}, ms", "over our fastest"]
    table(
        [*head, f"share of spikes unlike {PYTORCH}", "difference of the gradient, relative"], rows
    )
    return agreed


def memory(hands, args):
    """Memory of a training step of the ResNet-19, each in a process of its own."""
    # By row: the backend, the library, whether with attention and whether with remat.
    rows = {
        "SpikingJelly": ("torch", "SpikingJelly", False, False),
        "snnTorch": ("torch", "snnTorch", False, False),
    }
    for backend, title in (("torch", "PyTorch"), ("tensorflow", "TensorFlow")):
        for remat in (False, True):
            for attention in (False, True):
                words = ["with attention"] * attention + ["remat"] * remat
                rows[", ".join([OURS, title, *words])] = (backend, OURS, attention, remat)
    cells, base = {name: [name] for name in rows}, {}
    os.environ.update(environment.RETURNED)  # For the processes that begin from here on.
    for steps in args.lengths:
        for name, (backend, library, *options) in rows.items():
            batch = args.batch * args.steps // steps
            with contextlib.closing(Worker(backend)) as hand:
                own = hand.ask("memory", library, args.width, steps, batch, *options)
            base.setdefault(steps, own)
            cells[name] += [f"{own / 1e6:.0f}", f"{own / base[steps]:.2f}"]
    head = ["library"]
    for steps in args.lengths:
        head += [f"T = {steps}, MB", "over SpikingJelly"]
    table(head, cells.values())
    return True


def parse(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    known = ("network", "layer", "memory")
    parser.add_argument("what", nargs="*", choices=[*known, []], help="default: all")
    parser.add_argument("--environment", default=environment.ROOT / "build" / "peers")
    parser.add_argument("--seconds", type=float, default=60.0, help="least time for the network")
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--steps", type=int, default=4, help="T of the network")
    parser.add_argument("--batch", type=int, default=32, help="images of the network")
    parser.add_argument("--singles", type=int, default=9, help="images to compare gradients of")
    parser.add_argument("--lengths", type=int, nargs="+", default=[4, 16], help="T for memory")
    parser.add_argument("--neurons", type=int, nargs="+", default=[128, 256, 512, 1024])
    parser.add_argument("--sequence", type=int, default=500, help="T of the layer")
    args = parser.parse_args(arguments)
    args.what = args.what or list(known)
    return args


def main():
    args = parse()
    environment.enter(args.environment)
    agreed = True
    with workers() as hands:
        for what in args.what:
            print(f"\n{globals()[what].__doc__}\n", flush=True)
            agreed &= globals()[what](hands, args)
    if not agreed:
        sys.exit("The libraries do not agree: see the differences above.")


if __name__ == "__main__":
    main()
