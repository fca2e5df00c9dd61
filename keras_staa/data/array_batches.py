"""Arrays as batches whose order follows from the epoch."""

import keras
import numpy as np

from keras_staa import checks
from keras_staa.data.batches import EpochBatches


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
    """Return batches of arrays for `fit`, in an order given by `seed` and the epoch.

    When `fit` shuffles arrays on TensorFlow, a run that resumes from a checkpoint has another
    order than the run before. With these batches it has the same order on every backend. See
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


class Arrays(EpochBatches):
    """Batches of arrays. Made by `arrays`."""

    def __init__(self, parts, samples, **batches):
        super().__init__(samples, **batches)
        self._parts = parts

    def __getitem__(self, index):
        taken = self.places(index)
        return keras.tree.map_structure(lambda part: part[taken], self._parts, none_is_leaf=False)
