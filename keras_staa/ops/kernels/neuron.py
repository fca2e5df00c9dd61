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
    """Return the gradients of the current, decay and gain, and those of scale and shift.

    Args:
        dynamics, a, interpret: as in `forward`.
        g: gradient of the spikes.

    Returns:
        Three tensors of the shapes of what they belong to, None for numbers; and two more, or none
        where there is no scale or its gradient is not wanted.
    """
    learned, line = _is_learned(a), _has_line_sums(a)

    def local(g, *tensors):
        return _backward(dynamics, _with(a, tensors), g, interpret)

    names = _names(a)
    kinds = [True, *[False, a.gated] * learned, *[False, False] * line]
    run = over_batch(local, [True, *_batched(a, names)], kinds)
    dx, *found = run(g, *(getattr(a, name) for name in names))
    return dx, *(found if learned else (None, None, *found))


def _is_learned(a):
    return not isinstance(a.gain, float)


def _has_line_sums(a):
    return a.scale is not None and not a.gated


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
    count, learned, line = len(given), _is_learned(a), _has_line_sums(a)
    gains = (steps if a.gated else 1) if learned else 0

    def kernel(*refs):
        gradient, out = refs[count], list(refs[count + 1 :])
        at = _Program(layout, refs[:count])

        def block(i, sums):
            found, rows, mask = _potentials(dynamics, at, i), split.part(i), at.mask(i)
            dh, (ddecay, dgain, dscale, dshift) = None, sums
            dgain = list(dgain)
            for t in reversed(range(steps)):
                spiked = blocks.load(gradient, (0, t, rows), mask)
                dv = dynamics.potential_gradient(spiked, dh, *found[t])
                dx = at.gain(t) * dv
                blocks.store(out[0], (0, t, rows), dx, mask)
                if learned:
                    place = t if a.gated else 0
                    dgain[place] = dgain[place] + dv * at.encoded(t, i)
                    if t:
                        ddecay = ddecay + dv * dynamics.after(*found[t - 1])
                if line:
                    dscale, dshift = dscale + dx * at.load(t, i), dshift + dx
                dh = at.decay * dv if t else None
            return ddecay, tuple(dgain), dscale, dshift

        zero = jnp.zeros((split.rows, split.columns), jnp.float32) if learned or line else None
        ddecay, dgain, *rest = split.repeated(block, (zero, (zero,) * gains, zero, zero))
        outputs = out[1:]
        if learned:
            blocks.store(outputs.pop(0), (0, 0), jnp.sum(ddecay, axis=0), at.channels)
            ref = outputs.pop(0)
            for t, total in enumerate(dgain):
                blocks.store(ref, (0, 0, t), jnp.sum(total, axis=0), at.channels)
        for ref, total in zip(outputs, rest, strict=False):
            blocks.store(ref, (0, 0), jnp.sum(total, axis=0), at.channels)

    outputs = [(jax.ShapeDtypeStruct(layout.shape, a.current.dtype), layout.spec())]
    outputs += [layout.sums(), layout.sums(gains)] * learned + [layout.sums()] * (2 * line)
    inputs = [*given, (g.reshape(layout.shape), layout.spec())]
    dx, *found = blocks.call(kernel, layout.grid, inputs, outputs, interpret, "neuron_gradient")
    found = [
        jnp.sum(part, axis=1 if i == 1 and a.gated else (0, 1)) for i, part in enumerate(found)
    ]
    if learned and not a.gated:
        found[1] = found[1][0]
    return dx.reshape(a.current.shape), *found


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
        if not _is_learned(a) and a.scale is None:
            # Nothing depends on the channel: one long row.
            count, channels = 1, count * channels
        self.a, self.shape = a, (batch, steps, count, channels)
        programs = batch if grouped and (_is_learned(a) or _has_line_sums(a)) else 0
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
        """Return pairs of tensors and how programs get them, in the order of their names."""
        a, split, (_, steps, places, channels) = self.a, self.split, self.shape
        row = pl.BlockSpec((split.columns,), lambda b, p, c: (c,))
        each = pl.BlockSpec((1, steps, split.columns), lambda b, p, c: (b, 0, c))
        every = pl.BlockSpec((steps, split.span, split.columns), lambda b, p, c: (0, p, c))
        specs = {
            "current": self.spec(),
            "gain": each if a.gated else row,
            "encoding": every,
            "keep": pl.BlockSpec((1, steps), lambda b, p, c: (b, 0)),
            **dict.fromkeys(("decay", "scale", "shift"), row),
        }
        shapes = {"current": self.shape, "encoding": (steps, places, channels)}
        found = []
        for name in _names(a):
            tensor = getattr(a, name)
            found.append((tensor.reshape(shapes.get(name, tensor.shape)), specs[name]))
        return found


class _Program:
    """What one program sees of the inputs of a neuron."""

    def __init__(self, layout, refs):
        a, split = layout.a, layout.split
        self.split, self.steps, self.gated = split, a.steps, a.gated
        self.place, self.channel = pl.program_id(1) * split.span, pl.program_id(2) * split.columns
        self.channels = split.channel_mask(self.channel)
        of = {**a._asdict(), **dict(zip(_names(a), refs, strict=True))}
        self.current, self.encoding, self.keep = of["current"], of["encoding"], of["keep"]
        self.decay, self.scale, self.shift = (
            self.row(of[name]) for name in ("decay", "scale", "shift")
        )
        self._gain = of["gain"] if a.gated else self.row(of["gain"])

    def row(self, ref):
        """Return a value for each channel, or the number that a reference is instead."""
        if ref is None or isinstance(ref, float):
            return ref
        return blocks.load(ref, mask=self.channels)[None, :]

    def mask(self, i):
        """Return which of block i is inside of the tensor."""
        return self.split.mask(self.place + i * self.split.rows, self.channel)

    def gain(self, t):
        if not self.gated:
            return self._gain
        return blocks.load(self._gain, (0, t), self.channels)[None, :]

    def load(self, t, i):
        """Return the current of block i, without scale and shift."""
        return blocks.load(self.current, (0, t, self.split.part(i)), self.mask(i))

    def encoded(self, t, i):
        """Return I[t] + keep[t] * E[t] of block i."""
        rows, mask, x = self.split.part(i), self.mask(i), self.load(t, i)
        x = x if self.scale is None else x * self.scale + self.shift
        if self.encoding is not None:
            e = blocks.load(self.encoding, (t, rows), mask)
            x = x + (e if self.keep is None else blocks.load(self.keep, (0, t)) * e)
        return saturated(x)
