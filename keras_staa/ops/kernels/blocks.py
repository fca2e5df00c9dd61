"""How tensors (B, T, P, C) of places and channels are split into blocks that a kernel holds."""

import dataclasses
import functools

from jax import lax
from jax import numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton as pltriton

# Numbers of one time step that a block holds: as many as leave registers for all steps.
ELEMENTS = 1024
MOST_CHANNELS = 128
WARPS = 4
# Programs that keep every processor of a large GPU busy.
PROGRAMS = 1024


def power_of_two(size):
    """Return the smallest power of two that is not below a size, as shapes in kernels must be.

    Example:

    >>> [power_of_two(size) for size in (1, 2, 3, 72)]
    [1, 2, 4, 128]
    """
    return 1 << (size - 1).bit_length()


@dataclasses.dataclass(frozen=True)
class Blocks:
    """A grid of blocks (rows, columns) over a tensor (places, channels).

    Args:
        places, channels: sizes of the tensor.
        rows, columns: sizes of a block, powers of two.
        groups: of how many blocks of rows one program takes all, one after the other.
    """

    places: int
    channels: int
    rows: int
    columns: int
    groups: int = 1

    @property
    def grid(self):
        """Programs over places and over channels."""
        return -(-self.places // self.span), -(-self.channels // self.columns)

    @property
    def span(self):
        """How many places a program takes."""
        return self.rows * self.groups

    def part(self, i):
        """Return the rows of block i among those of a program."""
        return slice(None) if self.groups == 1 else pl.ds(i * self.rows, self.rows)

    def repeated(self, block, start):
        """Return what `block(i, values) -> values` makes of values, over a program's blocks."""
        return block(0, start) if self.groups == 1 else lax.fori_loop(0, self.groups, block, start)

    def mask(self, place, channel):
        """Return which of a block is inside of the tensor, or None for all of it.

        Args:
            place: the first place of the block.
            channel: the first channel.
        """
        parts = []
        if self.places % self.span:
            parts.append((place + jnp.arange(self.rows) < self.places)[:, None])
        if self.channels % self.columns:
            parts.append((channel + jnp.arange(self.columns) < self.channels)[None, :])
        if not parts:
            return None
        return jnp.broadcast_to(functools.reduce(jnp.logical_and, parts), (self.rows, self.columns))

    def channel_mask(self, channel):
        """Return the same of the channels alone."""
        if self.channels % self.columns:
            return channel + jnp.arange(self.columns) < self.channels
        return None


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
    return pltriton.load(ref.at[_index(index)], mask=mask, other=other).astype(jnp.float32)


def store(ref, index, values, mask=None):
    """Write values to a part of a reference, in its dtype, where the mask is True."""
    pltriton.store(ref.at[_index(index)], values.astype(ref.dtype), mask=mask)


def _index(index):
    # The interpreter takes no plain integers.
    return (*(jnp.int32(i) if isinstance(i, int) else i for i in index), ...)


def call(kernel, grid, inputs, outputs, interpret=False, name=None):
    """Run a kernel.

    Args:
        kernel: function of references, to the inputs and then to the outputs.
        grid: tuple of positive integers, the programs.
        inputs: list of pairs of a tensor and a `pl.BlockSpec`.
        outputs: list of pairs of a `jax.ShapeDtypeStruct` and a `pl.BlockSpec`.
        interpret: boolean, whether JAX plays the GPU.
        name: string, of the kernel.

    Returns:
        A list of tensors.
    """
    tensors, in_specs = zip(*inputs, strict=True)
    shapes, out_specs = zip(*outputs, strict=True)
    return pl.pallas_call(
        kernel,
        grid=grid,
        in_specs=list(in_specs),
        out_specs=list(out_specs),
        out_shape=list(shapes),
        compiler_params=pltriton.CompilerParams(num_warps=WARPS, num_stages=2),
        interpret=interpret,
        name=name,
    )(*tensors)
