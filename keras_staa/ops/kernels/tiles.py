"""How kernels split tensors (places, channels) into blocks, in both languages that they are in."""

import dataclasses


def power_of_two(size):
    """Return the smallest power of two that is not below a size, as shapes in kernels must be.

    Example:

    >>> [power_of_two(size) for size in (1, 2, 3, 72)]
    [1, 2, 4, 128]
    """
    return 1 << (size - 1).bit_length()


@dataclasses.dataclass(frozen=True)
class Tiles:
    """A grid of blocks (rows, columns) over a tensor (places, channels).

    Args:
        places, channels: sizes of the tensor.
        rows, columns: sizes of a block.
        groups: of how many blocks of rows one program takes all, one after the other.

    Example:

    >>> Tiles(places=100, channels=72, rows=8, columns=64, groups=2).grid
    (7, 2)
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


def samples_of_a_program(batch, programs, busy):
    """Return how many samples a program takes: a divisor of the batch that leaves enough programs.

    Args:
        batch: number of samples.
        programs: how many programs there are for each sample.
        busy: how many programs keep a large GPU busy; half of them are enough.

    Example:

    >>> samples_of_a_program(batch=60, programs=64, busy=1024)
    6
    """
    least = -(-busy // (2 * programs))
    most = max(1, batch // least)
    return max(n for n in range(1, most + 1) if batch % n == 0)
