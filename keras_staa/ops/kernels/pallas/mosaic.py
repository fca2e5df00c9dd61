"""Kernels for TPUs: how blocks lie and are read and written, in Mosaic by Pallas."""

from jax import lax
from jax import numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu

from keras_staa.ops.kernels.pallas.blocks import Blocks

# A register holds 8 rows of 128 numbers, of 16 bits twice as many rows.
LANES = 128
# How many rows are computed at once, where there are few time steps and where there are many, and
# how many a program holds in VMEM.
ROWS = {True: 32, False: 16}
MOST_ROWS = {True: 512, False: 128}
# A row has as many numbers as a register, whatever depends on the channel.
FLAT = False


def split(places, channels, steps, programs=0):
    """Return blocks for a tensor.

    Args:
        places, channels: sizes of the tensor.
        steps: how many time steps a program holds at once.
        programs: not used: programs run one after the other.
    """
    columns = channels if channels < LANES else LANES
    few = steps <= 4
    if places <= ROWS[few]:
        return Blocks(places, channels, places, columns)
    rows = ROWS[few]
    groups = min(-(-places // rows), MOST_ROWS[few] // rows)
    return Blocks(places, channels, rows, columns, groups)


def over_batch(function, inputs, outputs):
    """Return the function: these kernels are part of programs for one device alone."""
    return function


def load(ref, index=(), mask=None):
    """Return a part of what a reference holds, in float32, and zeros where the mask is False."""
    values = ref[(*index, ...)].astype(jnp.float32)
    return values if mask is None else jnp.where(mask, values, 0.0)


def row(ref, index=(), mask=None):
    """Return the same of a part (C,), as (1, C)."""
    *first, last = index
    # What is beyond the last channel stays in places of its own, and is not written.
    return load(ref, (*first, pl.ds(last, 1)))


def number(ref, index):
    """Return the same of one number, as (1, 1)."""
    *first, row, place = index
    return load(ref, (*first, pl.ds(row, 1), pl.ds(place, 1)))


def store(ref, index, values, mask=None):
    """Write values to a part of a reference, in its dtype. Nothing is written outside of it."""
    ref[(*index, ...)] = values.astype(ref.dtype)


def store_sum(ref, index, values, mask=None):
    """Write the sum of values (rows, C) over the rows."""
    *first, last = index
    store(ref, (*first, pl.ds(last, 1)), jnp.sum(values, axis=0, keepdims=True))


def result(x, shape):
    """Return what a kernel gave in another shape."""
    # XLA would move a conversion in front of the new shape, and store all of it.
    return lax.optimization_barrier(x.reshape(shape))


def parameters():
    """Say to the compiler what it has to know of each kernel."""
    return tpu.CompilerParams()
