"""The same network and the same layer in other libraries of spiking neurons, timed in turns.

    python benchmarks/peers.py

Installs SpikingJelly, snnTorch, Norse and Spyx in an environment of their own, once, and goes on
there. Every library of PyTorch runs in one process; JAX and TensorFlow have one each. All take
turns step by step, so that what else the machine does meets all alike, and medians are compared.
Before anything is timed, the libraries must agree.
"""

import argparse
import statistics
import sys
import time

import numpy as np
from libraries import environment
from libraries.worker import workers

OURS, PYTORCH = "keras-staa", "keras-staa, PyTorch"
SAME = {"SpikingJelly", "snnTorch"}


def timed(turns, seconds):
    """Medians by key of `turns`, a dictionary of functions that return their own seconds."""
    for _ in range(2):
        for turn in turns.values():
            turn()
    times = {key: [] for key in turns}
    end = time.perf_counter() + seconds
    while min(map(len, times.values())) < 3 or time.perf_counter() < end:
        for key, turn in turns.items():
            times[key].append(turn())
    return {key: statistics.median(values) for key, values in times.items()}


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    print("\n".join(f"| {' | '.join(line)} |" for line in lines), flush=True)


def relative(array, reference):
    return float(np.abs(array - reference).max() / np.abs(reference).max())


def network(hands, args):
    """The plain LIF ResNet-19."""
    turns, checks, weights = {}, {}, None
    for hand in hands.values():
        keys, found, weights = hand.ask(
            "network", args.width, args.steps, args.batch, args.check, weights=weights
        )
        checks |= found
        turns |= {key: lambda hand=hand, key=key: hand.ask("seconds", key) for key in keys}
    agreed = network_agreement(checks, args)
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


def network_agreement(checks, args):
    """Print how near the logits and gradients are; whether all are near enough."""
    reference = checks[PYTORCH]
    rows, agreed = [], True
    for name, (logits, gradient, everything) in checks.items():
        near = relative(logits, reference[0]), relative(gradient, reference[1])
        equal = float(np.mean(everything.argmax(1) == reference[2].argmax(1)))
        agreed &= near[0] <= 1e-4 and near[1] <= 1e-4 and equal >= 0.9
        difference = np.abs(everything - reference[2]).max()
        rows.append([name, *(f"{n:.1e}" for n in near), f"{difference:.1e}", f"{equal:.0%}"])
    few, many = f"{args.check} images", f"{args.batch} images"
    table(
        [
            f"differences from {PYTORCH}",
            f"logits, {few}, relative",
            f"first kernel's gradient, {few}, relative",
            f"logits, {many}",
            f"equal classes, {many}",
        ],
        rows,
    )
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
            equal, near = float(np.mean(own == spikes)), relative(slope, gradient)
            shares.setdefault(name, []).append((equal, near))
            if name in SAME or name.startswith(OURS):
                agreed &= equal >= 0.9999 and near <= 1e-2
        medians[n] = timed(turns, args.seconds / 2)
    rows = []
    for name in shares:
        cells = [name]
        for n in args.neurons:
            fastest = min(s for key, s in medians[n].items() if key.startswith(OURS))
            own = medians[n][name]
            cells += [f"{own * 1e3:.1f}", f"{own / fastest:.2f}"]
        equal, near = min(s for s, _ in shares[name]), max(d for _, d in shares[name])
        rows.append([*cells, f"{equal:.2%}", f"{near:.1e}"])
    head = ["library"]
    for n in args.neurons:
        head += [f"n = {n}, ms", "over our fastest"]
    table([*head, f"equal spikes to {PYTORCH}", "gradient, relative difference"], rows)
    return agreed


def parse(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    known = ("network", "layer")
    parser.add_argument("what", nargs="*", choices=[*known, []], help="default: both")
    parser.add_argument("--environment", default=environment.ROOT / "build" / "peers")
    parser.add_argument("--seconds", type=float, default=120.0, help="least time for the network")
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--steps", type=int, default=4, help="T of the network")
    parser.add_argument("--batch", type=int, default=32, help="images of the network")
    parser.add_argument("--check", type=int, default=4, help="images for the strict agreement")
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
