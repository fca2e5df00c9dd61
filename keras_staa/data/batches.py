"""Batches whose order follows from a seed and the epoch."""

import keras
import numpy as np

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
    """

    # What the seed of the order has besides seed and epoch.
    order_key = ()

    def __init__(self, samples, *, batch_size, shuffle, seed, drop_remainder, **kwargs):
        super().__init__(**kwargs)
        self._samples = samples
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.drop_remainder = drop_remainder
        self._epoch = 0
        self._last_order = None

    def __len__(self):
        whole, rest = divmod(self._samples, self.batch_size)
        return whole + (rest > 0 and not self.drop_remainder)

    def places(self, index):
        """Return the places of the samples of a batch, integers."""
        if not 0 <= index < len(self):
            raise IndexError(f"`index` must be in [0, {len(self)}). Received: index={index}")
        return self._order()[index * self.batch_size : (index + 1) * self.batch_size]

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
