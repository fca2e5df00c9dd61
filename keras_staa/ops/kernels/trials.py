"""Small calls of each kernel, by the kernel itself and by the plain equations.

Inputs are multiples of small powers of two: potentials are exact in float32, whatever the order
that they are computed in, and so is where a neuron fires. Sizes leave the last blocks partly empty.
"""

from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from keras_staa.ops import kernels
from keras_staa.ops.gradient import pullback

# Batch, steps, rows, columns, channels.
SHAPE = 2, 4, 5, 9, 136


class Trial(NamedTuple):
    """A call in two forms.

    Args:
        kernel, plain: functions of tensors, by name, that return a dictionary of float32 tensors:
            outputs and gradients. What the kernel gives may have other shapes of equal size.
        inputs: dictionary of float32 arrays of NumPy.
    """

    kernel: Callable
    plain: Callable
    inputs: dict


def neuron(machine, dtype):
    """Yield trials of a neuron: with numbers, with learned decay and gain, and behind gates.

    Args:
        machine: string, of `kernels.MACHINES`.
        dtype: string, of the current as the kernel gets it.
    """
    from keras_staa.ops.leaky import Leaky
    from keras_staa.surrogates import Rectangular

    random, (batch, steps, _, _, channels) = _random(), SHAPE
    g, given = random(-8, 9, SHAPE) / 8, {"current": random(-8, 17, SHAPE) / 8}
    hard = Leaky(Rectangular())
    yield _neuron(machine, dtype, hard, given, g, ("current",), (0.5, 1.0))
    given = given | {
        "decay": random(1, 3, channels) / 4,
        "gain": random(2, 5, channels) / 4,
        **_line(random, channels),
    }
    yield _neuron(machine, dtype, hard, given, g, tuple(given))
    given = given | {
        "gain": random(2, 9, (batch, steps, channels)) / 8,
        "encoding": random(-4, 5, SHAPE[1:]) / 8,
        "keep": _keep(batch, steps),
    }
    soft = Leaky(Rectangular(), reset="soft", detach_reset=False)
    # Scale and shift have no gradient here.
    yield _neuron(machine, dtype, soft, given, g, ("current", "decay", "gain"))


def _neuron(machine, dtype, dynamics, given, g, learned, constants=None):
    from keras_staa.ops.inputs import Inputs
    from keras_staa.ops.neuron import spiking

    numbers = dict(zip(("decay", "gain"), constants or (), strict=False))
    neuron = spiking(dynamics, constants)

    def kernel(g, **given):
        held = kernels.package().of_neuron(dynamics)[machine]
        a = Inputs(**{**given, **numbers, "current": ops.cast(given["current"], dtype)})
        found = held.backward(dynamics, a, ops.cast(g, dtype))
        return _named(learned, found) | {"the output": _float(held.forward(dynamics, a))}

    def plain(g, **given):
        def call(*tensors):
            return (neuron(**{**given, **dict(zip(learned, tensors, strict=True))}),)

        tensors = tuple(given[name] for name in learned)
        return _named(learned, pullback(call, tensors, (g,))) | {"the output": call(*tensors)[0]}

    return Trial(kernel, plain, _arrays(g=g, **given))


def summaries(machine, dtype):
    """Yield a trial of the means that gates are made of. Arguments as in `neuron`."""
    from keras_staa.ops import staa

    random, (batch, steps, rows, columns, channels) = _random(), SHAPE
    places = rows * columns
    given = {
        "x": random(-8, 17, SHAPE) / 8,
        "query": random(-2, 3, channels) / 16,
        "encoding": random(-4, 5, SHAPE[1:]) / 8,
        **_line(random, channels),
    }
    more = {
        "keep": _keep(batch, steps),
        "g": random(-8, 9, SHAPE) / 8,
        # As large as to make as much of the gradients as the others do.
        "dcontext": random(-8, 9, (batch, steps, channels)) * places / 8,
        "dmean": random(-8, 9, (batch, steps, channels)) * places / 8,
    }
    learned = list(given)

    def kernel(x, query, encoding, keep, g, dcontext, dmean, **line):
        held = kernels.package().of_summaries()[machine]
        x, g = (ops.cast(ops.reshape(v, (batch, steps, places, channels)), dtype) for v in (x, g))
        encoding = ops.cast(ops.reshape(encoding, (steps, places, channels)), dtype)
        attention, *outputs = held.forward(x, query, encoding, **line)
        context, mean = outputs
        found = held.backward(
            x, g, attention, context, dcontext, dmean, query, encoding, keep, **line
        )
        return _named(learned, found) | _outputs(attention, context, mean)

    def plain(keep, g, dcontext, dmean, **given):
        def call(*tensors):
            named = dict(zip(learned, tensors, strict=True))
            x, _, *means = staa.summaries(**named, keep=keep, steps="channels")
            return x, *means

        tensors = tuple(given[name] for name in learned)
        found = pullback(call, tensors, (g, dcontext, dmean))
        attention = _attention(**given)
        return _named(learned, found) | _outputs(attention, *call(*tensors)[1:])

    yield Trial(kernel, plain, _arrays(**given, **more))


TRIALS = {"neuron": neuron, "summaries": summaries}


def _attention(x, query, encoding, scale=1.0, shift=0.0):
    """Return what `summaries` keeps for its gradient."""
    logits = ops.sum((x * scale + shift + encoding) * query, axis=-1)
    return ops.softmax(ops.reshape(logits, (*logits.shape[:2], -1)), axis=-1)


def _outputs(attention, context, mean):
    return {"attention": attention, "the attended mean": context, "the plain mean": mean}


def _named(names, gradients):
    pairs = zip(names, gradients, strict=False)
    return {f"the gradient of `{name}`": _float(g) for name, g in pairs if g is not None}


def _float(x):
    return ops.cast(x, "float32")


def _line(random, channels):
    """Return scale and shift, which kernels on PyTorch do not have."""
    if keras.backend.backend() == "torch":
        return {}
    return {"scale": random(2, 5, channels) / 4, "shift": random(-2, 3, channels) / 8}


def _keep(batch, steps):
    """Return 0 in every third of all steps, and 1 in the others."""
    return np.reshape(np.arange(batch * steps) % 3 > 0, (batch, steps))


def _random():
    return np.random.default_rng(0).integers


def _arrays(**given):
    return {name: np.asarray(array, "float32") for name, array in given.items()}
