"""Blocks of tensors (B, T, P, C) of places and channels, and how kernels are started."""

import contextlib

import torch

from keras_staa.ops.kernels.tiles import Tiles, power_of_two

# Numbers of one time step that a program of four warps holds, for as many steps.
ELEMENTS = {4: 1024, 8: 512, 16: 256}
MOST_CHANNELS = 128
WARPS = 4
# Programs that keep every processor of a large GPU busy.
PROGRAMS = 1024


def split(places, channels, steps, programs=0, whole_channels=False):
    """Return `Tiles` for a tensor.

    Args:
        places, channels: sizes of the tensor.
        steps: how many time steps a program holds at once.
        programs: how many programs there are for each block, as over the batch. If it is many, a
            program takes more than one block.
        whole_channels: whether each block has all channels.
    """
    elements = next(n for most, n in ELEMENTS.items() if steps <= most)
    columns = power_of_two(channels)
    if not whole_channels:
        columns = min(columns, elements if places == 1 else MOST_CHANNELS)
    rows = max(1, min(power_of_two(places), elements // columns))
    tiles = Tiles(places, channels, rows, columns)
    blocks, across = tiles.grid
    groups = max(1, min(blocks, blocks * across * programs // PROGRAMS))
    return Tiles(places, channels, rows, columns, groups)


def run(kernel, grid, *arguments, **constants):
    """Start a kernel on the GPU of its first argument."""
    device = arguments[0].device
    guard = torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext()
    with guard:
        kernel[grid](*arguments, **constants, num_warps=WARPS)
