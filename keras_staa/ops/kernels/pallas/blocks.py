"""How tensors (B, T, P, C) of places and channels are split into blocks that a kernel holds.

What differs between machines is in a module for each, `triton` for GPUs and `mosaic` for TPUs, with
the same functions: `split`, `over_batch`, `load`, `row`, `number`, `store`, `store_sum`, `result`
and `parameters`.
"""

import functools
import math

from jax import lax
from jax import numpy as jnp
from jax.experimental import pallas as pl

from keras_staa.ops.kernels.tiles import Tiles


class Blocks(Tiles):
    """Tiles as the programs of a kernel see them."""

    def part(self, i):
        """Return the rows of block i among those of a program."""
        if self.groups == 1:
            return slice(None)
        return pl.ds(pl.multiple_of(i * self.rows, self.rows), self.rows)

    def repeated(self, block, start):
        """Return what `block(i, values) -> values` makes of values, over a program's blocks."""
        return block(0, start) if self.groups == 1 else lax.fori_loop(0, self.groups, block, start)

    def mask(self, place, channel):
        """Return which of a block is inside of the tensor, or None for all of it.

        Args:
            place: the first place of the block.
            channel: the first channel.
        """
        parts, shape = [], (self.rows, self.columns)
        if self.places % self.span:
            parts.append(place + lax.broadcasted_iota(jnp.int32, shape, 0) < self.places)
        if self.channels % self.columns:
            parts.append(channel + lax.broadcasted_iota(jnp.int32, shape, 1) < self.channels)
        return functools.reduce(jnp.logical_and, parts) if parts else None

    def channel_mask(self, channel):
        """Return the same of the channels alone."""
        if self.channels % self.columns:
            return channel + jnp.arange(self.columns) < self.channels
        return None


def call(kernel, grid, inputs, outputs, machine, name, interpret=False):
    """Run a kernel.

    Args:
        kernel: function of references, to the inputs and then to the outputs.
        grid: tuple of positive integers, the programs.
        inputs: list of pairs of a tensor and a `pl.BlockSpec`.
        outputs: list of pairs of a `jax.ShapeDtypeStruct` and a `pl.BlockSpec`.
        machine: module of what the kernel is for.
        name: string, of the kernel.
        interpret: boolean, whether JAX plays the machine.

    Returns:
        A list of tensors.
    """
    tensors, in_specs = zip(*inputs, strict=True)
    shapes, out_specs = zip(*outputs, strict=True)
    # A compiler does not look into a kernel.
    moved = sum(math.prod(x.shape) * x.dtype.itemsize for x in (*tensors, *shapes))
    return pl.pallas_call(
        kernel,
        grid=grid,
        in_specs=list(in_specs),
        out_specs=list(out_specs),
        out_shape=list(shapes),
        compiler_params=machine.parameters(),
        cost_estimate=pl.CostEstimate(flops=0, transcendentals=0, bytes_accessed=moved),
        interpret=interpret,
        name=name,
    )(*tensors)
