"""The neuron and its gradient as kernels: one pass over memory in each direction.

A program holds all time steps of a block of places and channels, so that potentials are computed
again in the backward pass and stored nowhere.
"""

import math

import jax
from jax import numpy as jnp
from jax.experimental import pallas as pl

from keras_staa.ops.kernels.pallas import blocks
from keras_staa.ops.saturation import saturated


def forward(dynamics, a, machine, interpret=False):
    """Return the spikes.

    Args:
        dynamics: a `keras_staa.ops.Dynamics`.
        a: what a call of the neuron gets, as `keras_staa.ops.neuron` has it.
        machine: module of what the kernel is for, `triton` or `mosaic`.
        interpret: boolean, whether JAX plays the machine.

    Returns:
        Spikes, of the shape and dtype of the current.
    """

    def local(*tensors):
        return (_forward(dynamics, _with(a, tensors), machine, interpret),)

    names = _names(a)
    return machine.over_batch(local, _batched(a, names), [True])(*(getattr(a, n) for n in names))[0]


def backward(dynamics, a, g, machine, interpret=False):
    """Return the gradients of the current, decay and gain, and those of scale and shift.

    Args:
        dynamics, a, machine, interpret: as in `forward`.
        g: gradient of the spikes.

    Returns:
        Three tensors of the shapes of what they belong to, None for numbers; and two more, or none
        where there is no scale or its gradient is not wanted.
    """
    learned, line = _is_learned(a), _has_line_sums(a)

    def local(g, *tensors):
        return _backward(dynamics, _with(a, tensors), g, machine, interpret)

    names = _names(a)
    kinds = [True, *[False, a.gated] * learned, *[False, False] * line]
    run = machine.over_batch(local, [True, *_batched(a, names)], kinds)
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


def _forward(dynamics, a, machine, interpret):
    layout = _Layout(a, machine)

    def kernel(*refs):
        *inputs, spikes = refs
        at = _Program(layout, inputs)

        def block(i, none):
            for t, (v, s) in enumerate(_potentials(dynamics, at, i)):
                where = 0, t, layout.split.part(i)
                machine.store(spikes, where, dynamics.spikes(v, s), at.mask(i))
            return none

        layout.split.repeated(block, ())

    shape = jax.ShapeDtypeStruct(layout.shape, a.current.dtype)
    outputs = [(shape, layout.spec())]
    inputs = layout.inputs()
    (found,) = blocks.call(kernel, layout.grid, inputs, outputs, machine, "neuron", interpret)
    return machine.result(found, a.current.shape)


def _backward(dynamics, a, g, machine, interpret):
    layout = _Layout(a, machine, grouped=True)
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
                spiked = machine.load(gradient, (0, t, rows), mask)
                dv = dynamics.potential_gradient(spiked, dh, *found[t])
                dx = at.gain(t) * dv
                machine.store(out[0], (0, t, rows), dx, mask)
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
        totals = [[ddecay], dgain] * learned + [[part] for part in rest] * line
        for ref, each in zip(outputs, totals, strict=True):
            for t, total in enumerate(each):
                machine.store_sum(ref, (0, 0, t), total, at.channels)

    outputs = [(jax.ShapeDtypeStruct(layout.shape, a.current.dtype), layout.spec())]
    outputs += [layout.sums(1), layout.sums(gains)] * learned + [layout.sums(1)] * (2 * line)
    inputs = [*given, (g.reshape(layout.shape), layout.spec())]
    name = "neuron_gradient"
    dx, *found = blocks.call(kernel, layout.grid, inputs, outputs, machine, name, interpret)
    # The gain of a gate alone has the axes of batch and time.
    own = [i == 1 and a.gated for i in range(len(found))]
    found = [jnp.sum(part, axis=1 if o else (0, 1, 2)) for part, o in zip(found, own, strict=True)]
    return machine.result(dx, a.current.shape), *found


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

    def __init__(self, a, machine, grouped=False):
        batch, steps, *rest = a.current.shape
        *places, channels = rest or (1,)
        count = math.prod(places)
        if machine.FLAT and not _is_learned(a) and a.scale is None:
            count, channels = 1, count * channels
        self.a, self.machine, self.shape = a, machine, (batch, steps, count, channels)
        programs = batch if grouped and (_is_learned(a) or _has_line_sums(a)) else 0
        self.split = machine.split(count, channels, steps, programs=programs)
        self.grid = (batch, *self.split.grid)

    def spec(self):
        """Return how programs get current, spikes and their gradients."""
        split = self.split
        shape = (1, self.shape[1], split.span, split.columns)
        return pl.BlockSpec(shape, lambda b, p, c: (b, 0, p, c))

    def sums(self, steps):
        """Return shape and place of sums over the places of a program, (B, programs, steps, C)."""
        shape = self.shape[0], self.grid[1], steps, self.shape[3]
        spec = pl.BlockSpec((1, 1, steps, self.split.columns), lambda b, p, c: (b, p, 0, c))
        return jax.ShapeDtypeStruct(shape, jnp.float32), spec

    def inputs(self):
        """Return pairs of tensors and how programs get them, in the order of their names."""
        a, split, (_, steps, places, channels) = self.a, self.split, self.shape
        row = pl.BlockSpec((1, split.columns), lambda b, p, c: (0, c))
        each = pl.BlockSpec((1, steps, split.columns), lambda b, p, c: (b, 0, c))
        every = pl.BlockSpec((steps, split.span, split.columns), lambda b, p, c: (0, p, c))
        specs = {
            "current": self.spec(),
            "gain": each if a.gated else row,
            "encoding": every,
            "keep": pl.BlockSpec((1, 1, steps), lambda b, p, c: (b, 0, 0)),
            **dict.fromkeys(("decay", "scale", "shift"), row),
        }
        shapes = {
            "current": self.shape,
            "gain": (-1, steps, channels) if a.gated else (1, channels),
            "encoding": (steps, places, channels),
            "keep": (-1, 1, steps),
            **dict.fromkeys(("decay", "scale", "shift"), (1, channels)),
        }
        return [(getattr(a, name).reshape(shapes[name]), specs[name]) for name in _names(a)]


class _Program:
    """What one program sees of the inputs of a neuron."""

    def __init__(self, layout, refs):
        a, split, self.machine = layout.a, layout.split, layout.machine
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
        return self.machine.row(ref, (0,), self.channels)

    def mask(self, i):
        """Return which of block i is inside of the tensor."""
        return self.split.mask(self.place + i * self.split.rows, self.channel)

    def gain(self, t):
        if not self.gated:
            return self._gain
        return self.machine.row(self._gain, (0, t), self.channels)

    def load(self, t, i):
        """Return the current of block i, without scale and shift."""
        return self.machine.load(self.current, (0, t, self.split.part(i)), self.mask(i))

    def encoded(self, t, i):
        """Return I[t] + keep[t] * E[t] of block i."""
        rows, mask, x = self.split.part(i), self.mask(i), self.load(t, i)
        x = x if self.scale is None else x * self.scale + self.shift
        if self.encoding is not None:
            e = self.machine.load(self.encoding, (t, rows), mask)
            x = x + (e if self.keep is None else self.machine.number(self.keep, (0, 0, t)) * e)
        return saturated(x)
