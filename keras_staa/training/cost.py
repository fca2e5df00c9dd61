"""What a training takes: parameters, operations, memory and time."""

import math
import time

import keras
import numpy as np

from keras_staa import _keras
from keras_staa.training import build


def estimate(recipe, sample_shape, classes, samples, timed=True):
    """Return what a training by a recipe takes.

    Args:
        recipe: what `load_recipe` gives.
        sample_shape: shape of a sample, without the batch.
        classes: positive integer.
        samples: how many the training split has.
        timed: whether a training step is run and timed, on random numbers and a small batch.

    Returns:
        A dictionary: `parameters`; `steps` of the whole training; `flops`, floating-point
        operations of the convolutions and dense layers for one sample forward and backward, twice
        the multiplications times three; `memory`, bytes of the weights, the optimizer's state and
        the outputs of all layers for a batch, which a compiler may undercut; and `hours` on this
        machine without a teacher's part, or None if not timed.
    """
    recipe = build.without_teacher(recipe)
    model = build.network(recipe, sample_shape, classes)
    per_epoch = max(samples // recipe.training.batch_size, 1)
    optimizer = build.optimizer(recipe, model, per_epoch)
    optimizer.build(model.trainable_variables)
    held = [*model.variables, *model.trainable_variables, *optimizer.variables]
    steps = recipe.training.epochs * per_epoch
    found = {
        "parameters": model.count_params(),
        "steps": steps,
        "flops": 6 * multiplications(model),
        "memory": sum(4 * math.prod(v.shape) for v in held)
        + recipe.training.batch_size * activations(model),
        "hours": None,
    }
    if timed:
        found["hours"] = steps * _seconds(recipe, model, optimizer) / 3600
    return found


def multiplications(model):
    """Return the multiplications of the convolutions and dense layers for one sample."""
    total = 0
    for layer, shape in _outputs(model):
        for inner in _keras.all_layers(layer):
            for weight in _keras.trainable_even_if_frozen(inner):
                if weight.name == "kernel":
                    total += math.prod(shape[1:-1]) * math.prod(weight.shape)
    return total


def activations(model):
    """Return the bytes of the outputs of all layers for one sample."""
    size = np.dtype("float32").itemsize
    if model.compute_dtype in ("bfloat16", "float16"):
        size //= 2
    return size * sum(math.prod(shape[1:]) for _, shape in _outputs(model))


def _outputs(model):
    """Yield the layers of a functional model with the static shapes of their outputs."""
    for layer in model.layers:
        output = layer.output
        if keras.backend.is_keras_tensor(output) and None not in output.shape[1:]:
            yield layer, output.shape


def _seconds(recipe, model, optimizer):
    """Return the seconds of a training step, from one of a part of its batch."""
    batch = min(recipe.training.batch_size, 8)
    shape = model.input_shape[1:]
    x = np.random.default_rng(0).random((batch, *shape), "float32")
    # A loss of the logits of each step repeats the label of a sample.
    y = np.zeros((batch, model.output_shape[-1]), "float32")
    y[:, 0] = 1
    model.compile(optimizer, build.loss(recipe))
    model.train_on_batch(x, y)
    start = time.perf_counter()
    model.train_on_batch(x, y)
    return (time.perf_counter() - start) * recipe.training.batch_size / batch
