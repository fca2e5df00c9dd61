"""Blocks of tensors (B, T, P, C) of places and channels, and how kernels are started."""

import contextlib
import dataclasses

import torch
import triton

# Numbers of one time step that a program of four warps holds, for as many steps.
ELEMENTS = {4: 1024, 8: 512, 16: 256}
MOST_CHANNELS = 128
WARPS = 4
# Programs that keep every processor of a large GPU busy.
PROGRAMS = 1024


@dataclasses.dataclass(frozen=True)
class Blocks:
    """A grid of blocks (rows, columns) over a tensor (places, channels).

    Args:
        places, channels: sizes of the tensor.
        rows, columns: sizes of a block, powers of two.
        groups: how many blocks of rows one program takes, one after the other.
    """

    places: int
    channels: int
    rows: int
    columns: int
    groups: int = 1

    @property
    def grid(self):
        """Programs over places and over channels."""
        return (
            triton.cdiv(self.places, self.rows * self.groups),
            triton.cdiv(self.channels, self.columns),
        )


def split(places, channels, steps, programs=0, whole_channels=False):
    """Return blocks for a tensor.

    Args:
        places, channels: sizes of the tensor.
        steps: how many time steps a program holds at once.
        programs: how many programs there are for each block, as over the batch. If it is many, a
            program takes more than one block.
        whole_channels: whether each block has all channels.
    """
    elements = next(n for most, n in ELEMENTS.items() if steps <= most)
    columns = triton.next_power_of_2(channels)
    if not whole_channels:
        columns = min(columns, elements if places == 1 else MOST_CHANNELS)
    rows = max(1, min(triton.next_power_of_2(places), elements // columns))
    blocks = triton.cdiv(places, rows)
    busy = blocks * triton.cdiv(channels, columns) * programs
    return Blocks(places, channels, rows, columns, max(1, min(blocks, busy // PROGRAMS)))


def run(kernel, grid, *arguments, **constants):
    """Start a kernel on the GPU of its first argument."""
    device = arguments[0].device
    guard = torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext()
    with guard:
        kernel[grid](*arguments, **constants, num_warps=WARPS)
