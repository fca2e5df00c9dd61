"""A small data set of pictures and a recipe for it."""

import numpy as np
import pytest

CLASSES = ("red", "green", "blue")
RECIPE = """
title = "Colors"
source = "A test."

[data]
source = "{source}"
augment = [{{ class_name = "RandomFlip", mode = "horizontal" }}]

[network]
factory = "STAACompact"
width = 4
steps = 2
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
warmup_epochs = 1

[training]
epochs = 2
batch_size = 6
save_freq = 2
# PyTorch's compiler would take most of the time.
jit_compile = false
"""


def pictures(folder, train=8, test=4):
    """Write noisy pictures of three colors, in splits `train` and `test`."""
    image = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    for split, count in (("train", train), ("test", test)):
        for channel, name in enumerate(CLASSES):
            place = folder / split / name
            place.mkdir(parents=True)
            for index in range(count):
                pixels = rng.integers(0, 120, (16, 16, 3), dtype="uint8")
                pixels[..., channel] += 120
                image.fromarray(pixels).save(place / f"{index}.png")
    return folder


def recipe_of(folder):
    """Write the recipe of a folder of pictures, and return its path."""
    path = folder.with_name("colors.toml")
    path.write_text(RECIPE.format(source=folder.as_posix()), "utf-8")
    return path
