"""Kernels for GPUs of NVIDIA: how blocks lie and are read and written, in Triton by Pallas."""

from jax import numpy as jnp
from jax.experimental.pallas import triton

from keras_staa.ops.kernels.pallas.blocks import Blocks
from keras_staa.ops.kernels.pallas.partition import over_batch
from keras_staa.ops.kernels.tiles import power_of_two

__all__ = [
    "FLAT",
    "load",
    "number",
    "over_batch",
    "parameters",
    "result",
    "row",
    "split",
    "store",
    "store_sum",
]

# Numbers of one time step that a block holds: as many as leave registers for all steps.
ELEMENTS = 1024
MOST_CHANNELS = 128
WARPS = 4
# Programs that keep every processor of a large GPU busy.
PROGRAMS = 1024
# Whether a tensor in which nothing depends on the channel is taken as one long row.
FLAT = True


def split(places, channels, steps, whole_channels=False, programs=0, busy=None):
    """Return blocks for a tensor.

    Args:
        places, channels: sizes of the tensor.
        steps: how many time steps a program holds at once.
        whole_channels: whether each block has all channels.
        programs: how many programs there are for each block of the grid, as over the batch. If it
            is many, a program takes more than one block.
        busy: how many programs are enough.
    """
    columns = power_of_two(channels)
    columns = columns if whole_channels else min(columns, MOST_CHANNELS)
    elements = ELEMENTS if steps <= 4 else ELEMENTS // 2
    rows = max(1, min(power_of_two(places), elements // columns))
    grid = -(-places // rows) * -(-channels // columns) * programs
    groups = max(1, min(-(-places // rows), grid // (busy or PROGRAMS)))
    return Blocks(places, channels, rows, columns, groups)


def load(ref, index=(), mask=None):
    """Return a part of what a reference holds, in float32, and zeros where the mask is False."""
    other = None if mask is None else 0.0
    return triton.load(ref.at[_index(index)], mask=mask, other=other).astype(jnp.float32)


def row(ref, index=(), mask=None):
    """Return the same of a part (C,), as (1, C)."""
    return load(ref, index, mask)[None, :]


def number(ref, index):
    """Return the same of one number."""
    return load(ref, index)


def store(ref, index, values, mask=None):
    """Write values to a part of a reference, in its dtype, where the mask is True."""
    triton.store(ref.at[_index(index)], values.astype(ref.dtype), mask=mask)


def store_sum(ref, index, values, mask=None):
    """Write the sum of values (rows, C) over the rows."""
    store(ref, index, jnp.sum(values, axis=0), mask)


def _index(index):
    # The interpreter takes no plain integers.
    return (*(jnp.int32(i) if isinstance(i, int) else i for i in index), ...)


def result(x, shape):
    """Return what a kernel gave in another shape."""
    return x.reshape(shape)


def parameters():
    """Say to the compiler what it has to know of each kernel."""
    return triton.CompilerParams(num_warps=WARPS, num_stages=2)
