"""Batches whose order follows from a seed and the epoch."""

import keras
import numpy as np

from keras_staa import checks

# Data sets of up to this many bytes are kept in memory.
MEMORY = 2**30


class EpochBatches(keras.utils.PyDataset):
    """Base of data sets for `fit`: which samples a batch has, in an epoch.

    Args:
        samples: positive integer, how many there are.
        batch_size: positive integer.
        shuffle: boolean.
        seed: non-negative integer, of the order.
        drop_remainder: boolean. If True, a last partial batch is left out.
        shard: None or (index, count): of each batch this is the part of one of several processes.
    """

    # What the seed of the order has besides seed and epoch.
    order_key = ()

    def __init__(self, samples, *, batch_size, shuffle, seed, drop_remainder, shard=None, **kwargs):
        super().__init__(**kwargs)
        self._samples = samples
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.drop_remainder = drop_remainder
        self.shard = check_shard(shard, batch_size, drop_remainder)
        self._epoch = 0
        self._last_order = None

    def __len__(self):
        whole, rest = divmod(self._samples, self.batch_size)
        return whole + (rest > 0 and not self.drop_remainder)

    def places(self, index):
        """Return the places of the samples of a batch, integers."""
        if not 0 <= index < len(self):
            raise IndexError(f"`index` must be in [0, {len(self)}). Received: index={index}")
        index, size = self._part(index), self.batch_size // self.shard[1]
        return self._order()[index * size : (index + 1) * size]

    def draws_of(self, epoch, index):
        """Return what the random numbers of a batch follow from: a tuple of integers."""
        return self.seed, epoch, 1 + self._part(index)

    def _part(self, index):
        """Return the place of a batch among the parts of all batches."""
        part, parts = self.shard
        return index * parts + part

    def _order(self):
        if not self.shuffle:
            return np.arange(self._samples)
        epoch, last = self._epoch, self._last_order
        if last is None or last[0] != epoch:
            draw = np.random.default_rng((self.seed, epoch, *self.order_key))
            # At once, since several threads may ask for batches.
            self._last_order = last = (epoch, draw.permutation(self._samples))
        return last[1]

    def set_epoch(self, epoch):
        """Make the next pass that of an epoch of `fit`, counted from 0."""
        # `fit` calls `on_epoch_end` once before the first one.
        self._epoch = epoch + 1

    def on_epoch_end(self):
        """Make the next pass over the data another one; `fit` calls it."""
        self._epoch += 1


def check_shard(shard, batch_size, drop_remainder):
    """Return a shard as (index, count), (0, 1) for None, or raise a `ValueError`."""
    if shard is None:
        return 0, 1
    good = isinstance(shard, (tuple, list)) and len(shard) == 2 and checks.is_positive_int(shard[1])
    if not good or not 0 <= checks.non_negative_int("shard[0]", shard[0]) < shard[1]:
        raise ValueError(f"`shard` must be None or (index, count). Received: shard={shard!r}")
    if batch_size % shard[1]:
        raise ValueError(
            f"`batch_size` must be divided by the number of processes. Received: "
            f"batch_size={batch_size}, shard={tuple(shard)}"
        )
    if not drop_remainder:
        raise ValueError("`drop_remainder` must be True with `shard`. Received: False")
    return tuple(shard)


def first_inputs(batches, count):
    """Return the first inputs of batches as one NumPy array, `count` if there are so many.

    Example:

    >>> first_inputs([(np.ones((4, 2)), None), (np.ones((4, 2)), None)], 5).shape
    (5, 2)
    """
    parts, found = [], 0
    for x, *_ in batches:
        parts.append(keras.ops.convert_to_numpy(x))
        found += len(parts[-1])
        if found >= count:
            break
    return np.concatenate(parts)[:count]
