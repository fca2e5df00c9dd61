"""Kill a training again and again, and compare its weights with those of one that was let alone.

    KERAS_BACKEND=torch python benchmarks/kills.py --kills 20

A STAAResNet19 of width 4 with batch normalization, time-step random dropout and learned decay and
gain trains on a folder of small pictures by a recipe. Checkpoints are written within the epochs,
and slowly, so that kills (SIGKILL) fall into their writing as well.
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

RECIPE = """
title = "Kills"
source = "Random pictures of three colors."
[data]
source = "{source}"
augment = "standard"
[network]
factory = "STAAResNet19"
width = 4
steps = 2
bypass_rate = 0.2
neuron = {{ surrogate = "triangular", threshold = 0.5 }}
[loss]
class_name = "CategoricalCrossentropy"
[optimizer]
class_name = "SGD"
learning_rate = 0.05
momentum = 0.9
weight_decay = 1e-3
[schedule]
class_name = "CosineDecay"
[training]
epochs = {epochs}
batch_size = 8
save_freq = 3
"""
# What the process that is killed runs: each checkpoint is written in pieces, over so many seconds.
SLOW = 0.5
PROGRAM = f"""
import builtins, contextlib, pathlib, sys, time
from keras_staa import h5_files, training

writing = pathlib.Path(sys.argv[2] + ".writing")

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

h5_files.open = slow
training.train(training.load_recipe(sys.argv[1]), sys.argv[2], verbose=0)
"""


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def pictures(folder):
    """Write noisy pictures of three colors, in splits `train` and `test`."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for split, count in (("train", 40), ("test", 4)):
        for channel, name in enumerate(("red", "green", "blue")):
            place = folder / split / name
            place.mkdir(parents=True)
            for index in range(count):
                pixels = rng.integers(0, 120, (16, 16, 3), dtype="uint8")
                pixels[..., channel] += 120
                Image.fromarray(pixels).save(place / f"{index}.png")


def run(program, recipe, out):
    words = [sys.executable, "-c", program, str(recipe), str(out)]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def steps_of(out):
    """Return the name of the last checkpoint."""
    found = [p.name for p in (out / "checkpoints").glob("epoch-*.h5")]
    numbers = [
        tuple(int(n) for n in p.split(".")[0].replace("step-", "").split("-")[1:]) for p in found
    ]
    return max(numbers, default=None)


def kill(program, recipe, out, draw, wait):
    """Run until a moment after the first new checkpoint. Returns whether it was killed writing."""
    process, before = run(program, recipe, out), steps_of(out)
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
        pictures(place / "colors")
        recipe = place / "recipe.toml"
        recipe.write_text(RECIPE.format(source=place / "colors", epochs=args.epochs))
        if run(PROGRAM, recipe, place / "whole").wait():
            raise SystemExit("The training itself failed.")
        kills, writes, at = 0, 0, []
        while kills < args.kills:
            was = kill(PROGRAM, recipe, place / "killed", draw, wait=2.0)
            if was is None:
                raise SystemExit(f"The training ended after {kills} kills: give more --epochs.")
            kills, writes = kills + 1, writes + was
            at.append(steps_of(place / "killed"))
        if run(PROGRAM, recipe, place / "killed").wait():
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
