"""Kill a training again and again, and compare its weights with those of one that was let alone.

    KERAS_BACKEND=torch python benchmarks/kills.py --kills 20

A STAAResNet19 of width 4 with batch normalization, time-step random dropout and learned decay and
gain trains on small images by the recipe `cifar10` with changes. Checkpoints are written within the
epochs, and slowly, so that kills (SIGKILL) fall into their writing as well.
"""

import argparse
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np

CHANGES = (
    "data.augment=standard",
    "network.width=4",
    "network.steps=2",
    "network.bypass_rate=0.2",
    'network.neuron={surrogate="triangular", threshold=0.5}',
    "training.batch_size=8",
    "training.save_freq=3",
)
# What the process that is killed runs: each checkpoint is written in pieces, over so many seconds.
SLOW = 0.5
PROGRAM = f"""
import builtins, contextlib, pathlib, sys, time
from keras_staa import files, training

writing = pathlib.Path(sys.argv[1] + ".writing")

class Slow:
    def __init__(self, file):
        self.file = file

    def write(self, part):
        writing.touch()
        pieces = 10
        size = -(-len(part) // pieces)
        for start in range(0, len(part), size):
            self.file.write(part[start : start + size])
            self.file.flush()
            time.sleep({SLOW} / pieces if len(part) > 1000 else 0)
        writing.unlink(missing_ok=True)

    def __getattr__(self, name):
        return getattr(self.file, name)

@contextlib.contextmanager
def slow(path, mode):
    with builtins.open(path, mode) as file:
        yield Slow(file)

files.open = slow
training.train(training.load_recipe("cifar10", sys.argv[2:]), sys.argv[1], verbose=0)
"""


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def images(path):
    """Write a file of noisy images of three colors."""
    rng, arrays = np.random.default_rng(0), {}
    for split, count in (("train", 120), ("test", 12)):
        labels = np.arange(count) % 3
        pixels = rng.integers(0, 120, (count, 16, 16, 3), dtype="uint8")
        pixels[np.arange(count), ..., labels] += 120
        arrays |= {f"x_{split}": pixels, f"y_{split}": labels}
    np.savez(path, **arrays)


def run(changes, out):
    words = [sys.executable, "-c", PROGRAM, str(out), *changes]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def steps_of(out):
    """Return the name of the last checkpoint."""
    found = [p.name for p in (out / "checkpoints").glob("epoch-*.h5")]
    numbers = [
        tuple(int(n) for n in p.split(".")[0].replace("step-", "").split("-")[1:]) for p in found
    ]
    return max(numbers, default=None)


def kill(changes, out, draw, wait):
    """Run until a moment after the first new checkpoint. Returns whether it was killed writing."""
    process, before = run(changes, out), steps_of(out)
    while process.poll() is None and steps_of(out) == before:
        time.sleep(0.01)
    deadline = time.monotonic() + draw.uniform(0, wait)
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    writing = pathlib.Path(f"{out}.writing")
    if process.poll() is not None:
        return None
    process.send_signal(signal.SIGKILL)
    process.wait()
    was = writing.exists()
    writing.unlink(missing_ok=True)
    return was


def weights(out):
    from keras_staa import zoo

    return zoo.load(next(out.glob("resnet19_*"))).get_weights()


def main():
    args = arguments()
    draw = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as place:
        place = pathlib.Path(place)
        images(place / "colors.npz")
        source = f"data.source={place / 'colors.npz'}"
        changes = [*CHANGES, source, f"training.epochs={args.epochs}"]
        if run(changes, place / "whole").wait():
            raise SystemExit("The training itself failed.")
        kills, writes, at = 0, 0, []
        while kills < args.kills:
            was = kill(changes, place / "killed", draw, wait=2.0)
            if was is None:
                raise SystemExit(f"The training ended after {kills} kills: give more --epochs.")
            kills, writes = kills + 1, writes + was
            at.append(steps_of(place / "killed"))
        if run(changes, place / "killed").wait():
            raise SystemExit("The training failed after the kills.")
        pairs = zip(weights(place / "whole"), weights(place / "killed"), strict=True)
        equal = all(np.array_equal(one, other) for one, other in pairs)
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    print(
        f"{backend}: {kills} kills, {writes} of them while a checkpoint was written, the last "
        f"checkpoint before them at (epoch, step) {at}: weights "
        f"{'equal' if equal else 'DIFFER'}"
    )
    raise SystemExit(not equal)


if __name__ == "__main__":
    main()
