"""The neuron and its gradient as kernels for GPUs: one pass over memory in each direction.

A program holds all time steps of a block of places and channels, so that potentials are computed
again in the backward pass and stored nowhere.
"""

import math

import jax
from jax import numpy as jnp
from jax.experimental import pallas as pl

from keras_staa.ops.kernels import blocks
from keras_staa.ops.kernels.partition import over_batch
from keras_staa.ops.saturation import saturated


def forward(dynamics, a, interpret=False):
    """Return the spikes.

    Args:
        dynamics: a `keras_staa.ops.Dynamics`.
        a: what a call of the neuron gets, as `keras_staa.ops.neuron` has it.
        interpret: boolean, whether JAX plays the GPU.

    Returns:
        Spikes, of the shape and dtype of the current.
    """

    def local(*tensors):
        return (_forward(dynamics, _with(a, tensors), interpret),)

    names = _names(a)
    return over_batch(local, _batched(a, names), [True])(*(getattr(a, n) for n in names))[0]


def backward(dynamics, a, g, interpret=False):
    """Return the gradients of the current, of the decay and of the gain.

    Args:
        dynamics, a, interpret: as in `forward`.
        g: gradient of the spikes.

    Returns:
        Three tensors of the shapes of what they belong to; None for numbers.
    """

    def local(g, *tensors):
        found = _backward(dynamics, _with(a, tensors), g, interpret)
        return tuple(part for part in found if part is not None)

    names = _names(a)
    kinds = [True] if isinstance(a.gain, float) else [True, False, a.gated]
    run = over_batch(local, [True, *_batched(a, names)], kinds)
    found = run(g, *(getattr(a, name) for name in names))
    return (*found, None, None) if len(found) == 1 else found


def _names(a):
    """Names of what is a tensor."""
    return [n for n, v in a._asdict().items() if v is not None and not isinstance(v, float)]


def _with(a, tensors):
    return a._replace(**dict(zip(_names(a), tensors, strict=True)))


def _batched(a, names):
    """Whether the first axis of each is the batch."""
    kinds = {"current": True, "keep": True, "gain": a.gated}
    return [kinds.get(name, False) for name in names]


def _forward(dynamics, a, interpret):
    layout = _Layout(a)

    def kernel(*refs):
        *inputs, spikes = refs
        at = _Program(layout, inputs)
        for t, (v, s) in enumerate(_potentials(dynamics, at, 0)):
            blocks.store(spikes, (0, t), dynamics.spikes(v, s), at.mask(0))

    shape = jax.ShapeDtypeStruct(layout.shape, a.current.dtype)
    outputs = [(shape, layout.spec())]
    (found,) = blocks.call(kernel, layout.grid, layout.inputs(), outputs, interpret, "neuron")
    return found.reshape(a.current.shape)


def _backward(dynamics, a, g, interpret):
    layout = _Layout(a, grouped=True)
    split, steps, given = layout.split, a.steps, layout.inputs()
    count, learned = len(given), not isinstance(a.gain, float)

    def kernel(*refs):
        gradient, out = refs[count], refs[count + 1 :]
        at = _Program(layout, refs[:count])

        def block(i, sums):
            found, rows, mask = _potentials(dynamics, at, i), split.part(i), at.mask(i)
            dh, sums = None, list(sums)
            for t in reversed(range(steps)):
                spiked = blocks.load(gradient, (0, t, rows), mask)
                dv = dynamics.potential_gradient(spiked, dh, *found[t])
                blocks.store(out[0], (0, t, rows), at.gain(t) * dv, mask)
                if learned:
                    place = 1 + (t if a.gated else 0)
                    sums[place] = sums[place] + dv * at.encoded(t, i)
                    if t:
                        sums[0] = sums[0] + dv * dynamics.after(*found[t - 1])
                dh = at.decay * dv if t else None
            return tuple(sums)

        zero = jnp.zeros((split.rows, split.columns), jnp.float32)
        sums = (zero,) * (1 + (steps if a.gated else 1)) if learned else ()
        sums = split.repeated(block, sums)
        if learned:
            blocks.store(out[1], (0, 0), jnp.sum(sums[0], axis=0), at.channels)
            for t, total in enumerate(sums[1:]):
                blocks.store(out[2], (0, 0, t), jnp.sum(total, axis=0), at.channels)

    outputs = [(jax.ShapeDtypeStruct(layout.shape, a.current.dtype), layout.spec())]
    if learned:
        outputs += layout.sums(), layout.sums(steps if a.gated else 1)
    inputs = [*given, (g.reshape(layout.shape), layout.spec())]
    found = blocks.call(kernel, layout.grid, inputs, outputs, interpret, "neuron_gradient")
    dx = found[0].reshape(a.current.shape)
    if not learned:
        return dx, None, None
    ddecay = jnp.sum(found[1], axis=(0, 1))
    dgain = jnp.sum(found[2], axis=1) if a.gated else jnp.sum(found[2], axis=(0, 1, 2))
    return dx, ddecay, dgain


def _potentials(dynamics, at, i):
    """V[t] and where it fires, of all steps of a block."""
    found, h = [], None
    for t in range(at.steps):
        v = at.gain(t) * at.encoded(t, i)
        v = v if h is None else v + at.decay * h
        found.append((v, dynamics.fired(v)))
        h = dynamics.after(*found[-1])
    return found


class _Layout:
    """Where the inputs of a neuron lie: current and spikes are (B, T, places, channels)."""

    def __init__(self, a, grouped=False):
        batch, steps, *rest = a.current.shape
        *places, channels = rest or (1,)
        count = math.prod(places)
        if isinstance(a.gain, float):
            # Nothing depends on the channel: one long row.
            count, channels = 1, count * channels
        self.a, self.shape = a, (batch, steps, count, channels)
        programs = batch if grouped and not isinstance(a.gain, float) else 0
        self.split = blocks.split(count, channels, steps, programs=programs)
        self.grid = (batch, *self.split.grid)

    def spec(self):
        """Return how programs get current, spikes and their gradients."""
        split = self.split
        shape = (1, self.shape[1], split.span, split.columns)
        return pl.BlockSpec(shape, lambda b, p, c: (b, 0, p, c))

    def sums(self, steps=None):
        """Return shape and place of sums over the places of a program, (B, programs, [T,] C)."""
        extra = () if steps is None else (steps,)
        shape = (self.shape[0], self.grid[1], *extra, self.shape[3])
        spec = pl.BlockSpec(
            (1, 1, *extra, self.split.columns), lambda b, p, c: (b, p, *(0 for _ in extra), c)
        )
        return jax.ShapeDtypeStruct(shape, jnp.float32), spec

    def inputs(self):
        """Return pairs of tensors and how programs get them."""
        a, split, (_, steps, places, channels) = self.a, self.split, self.shape
        found = [(a.current.reshape(self.shape), self.spec())]
        if isinstance(a.gain, float):
            return found
        row = pl.BlockSpec((split.columns,), lambda b, p, c: (c,))
        each = pl.BlockSpec((1, steps, split.columns), lambda b, p, c: (b, 0, c))
        found += (a.decay, row), (a.gain, each if a.gated else row)
        if a.encoding is not None:
            spec = pl.BlockSpec((steps, split.span, split.columns), lambda b, p, c: (0, p, c))
            found.append((a.encoding.reshape(steps, places, channels), spec))
        if a.keep is not None:
            found.append((a.keep, pl.BlockSpec((1, steps), lambda b, p, c: (b, 0))))
        return found


class _Program:
    """What one program sees of the inputs of a neuron."""

    def __init__(self, layout, refs):
        a, split, refs = layout.a, layout.split, list(refs)
        self.split, self.steps, self.gated = split, a.steps, a.gated
        self.place, self.channel = pl.program_id(1) * split.span, pl.program_id(2) * split.columns
        self.channels = split.channel_mask(self.channel)
        self.current, self.decay, self._gain = refs.pop(0), a.decay, a.gain
        if not isinstance(a.gain, float):
            self.decay = blocks.load(refs.pop(0), mask=self.channels)[None, :]
            self._gain = refs.pop(0)
            if not a.gated:
                self._gain = blocks.load(self._gain, mask=self.channels)[None, :]
        self.encoding = None if a.encoding is None else refs.pop(0)
        self.keep = None if a.keep is None else refs.pop(0)

    def mask(self, i):
        """Return which of block i is inside of the tensor."""
        return self.split.mask(self.place + i * self.split.rows, self.channel)

    def gain(self, t):
        if not self.gated:
            return self._gain
        return blocks.load(self._gain, (0, t), self.channels)[None, :]

    def encoded(self, t, i):
        """Return I[t] + keep[t] * E[t] of block i."""
        rows, mask = self.split.part(i), self.mask(i)
        x = blocks.load(self.current, (0, t, rows), mask)
        if self.encoding is not None:
            e = blocks.load(self.encoding, (t, rows), mask)
            x = x + (e if self.keep is None else blocks.load(self.keep, (0, t)) * e)
        return saturated(x)
