"""Arrays as batches whose order follows from the epoch."""

import keras
import numpy as np

from keras_staa import checks


def arrays(
    x,
    y=None,
    sample_weight=None,
    *,
    batch_size=32,
    shuffle=True,
    seed=0,
    drop_remainder=False,
):
    """Arrays as batches for `fit`, in an order that follows from `seed` and the epoch alone.

    When `fit` shuffles arrays by itself, a run that goes on from a checkpoint cannot go on with the
    order that it had on TensorFlow; with these batches it does on every backend, see
    `keras_staa.callbacks.Checkpoint`.

    Args:
        x: NumPy array `(samples, ...)`, or a dictionary, tuple or list of such arrays.
        y: None, or the targets, as `x`.
        sample_weight: None, or the weights of the samples, as `x`.
        batch_size: positive integer.
        shuffle: boolean.
        seed: non-negative integer, of the order.
        drop_remainder: boolean. If True, a last partial batch is left out.

    Returns:
        A `keras.utils.PyDataset`. Its function `set_epoch(epoch)` makes the next pass that of an
        epoch of `fit`, counted from 0.

    Raises:
        ValueError: if the arrays differ in their number of samples or an argument is not allowed.

    Example:

    ```python
    x, y = np.random.rand(256, 32, 32, 3), np.arange(256) % 10
    train = keras_staa.data.arrays(x, y, batch_size=64)
    model.fit(train, epochs=3)
    ```
    """
    parts = keras.utils.pack_x_y_sample_weight(x, y, sample_weight)
    parts = keras.tree.map_structure(np.asarray, parts, none_is_leaf=False)
    given = [part for part in keras.tree.flatten(parts) if part is not None]
    counts = {len(part) if part.ndim else 0 for part in given}
    if len(counts) != 1 or 0 in counts:
        raise ValueError(
            "`x`, `y` and `sample_weight` must have the same number of samples, at least one. "
            f"Received: {sorted(counts)} samples"
        )
    return Arrays(
        parts,
        counts.pop(),
        batch_size=checks.positive_int("batch_size", batch_size),
        shuffle=checks.boolean("shuffle", shuffle),
        seed=checks.non_negative_int("seed", seed),
        drop_remainder=checks.boolean("drop_remainder", drop_remainder),
    )


class Arrays(keras.utils.PyDataset):
    """Batches of arrays. Made by `arrays`."""

    def __init__(self, parts, count, *, batch_size, shuffle, seed, drop_remainder):
        super().__init__()
        self._parts = parts
        self._count = count
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.drop_remainder = drop_remainder
        self._epoch = 0
        self._last_order = None

    def __len__(self):
        whole, rest = divmod(self._count, self.batch_size)
        return whole + (rest > 0 and not self.drop_remainder)

    def __getitem__(self, index):
        if not 0 <= index < len(self):
            raise IndexError(f"`index` must be in [0, {len(self)}). Received: index={index}")
        taken = self._order()[index * self.batch_size : (index + 1) * self.batch_size]
        return keras.tree.map_structure(lambda part: part[taken], self._parts, none_is_leaf=False)

    def _order(self):
        if not self.shuffle:
            return np.arange(self._count)
        epoch, last = self._epoch, self._last_order
        if last is None or last[0] != epoch:
            order = np.random.default_rng((self.seed, epoch)).permutation(self._count)
            # At once, since several threads may ask for batches.
            self._last_order = last = (epoch, order)
        return last[1]

    def set_epoch(self, epoch):
        """Makes the next pass that of an epoch of `fit`, counted from 0."""
        # `fit` calls `on_epoch_end` once before the first one.
        self._epoch = epoch + 1

    def on_epoch_end(self):
        """Makes the next pass over the data another one; `fit` calls it."""
        self._epoch += 1
