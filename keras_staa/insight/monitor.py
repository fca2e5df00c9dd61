"""Watch firing rates during training."""

import warnings

import keras
import numpy as np

from keras_staa import _keras, checks
from keras_staa.insight import finding, watching

ADVICE = {
    "silent": (
        "almost all of its neurons are silent: no gradient gets through them. Try a lower "
        "`threshold`, a surrogate that is wider, a larger scale of the batch normalization in "
        "front, or a lower learning rate"
    ),
    "saturated": (
        "most of its neurons fire in every step and say nothing. Try a higher `threshold`, a "
        "smaller `decay`, or a smaller scale of the batch normalization in front"
    ),
}


class SpikeMonitor(keras.callbacks.Callback):
    """Callback to watch firing rates: after each epoch the network runs on a few samples.

    The logs of the epoch get `firing_rate`, `silent` and `saturated`, means over all neurons: the
    history has them, and callbacks behind this one, such as `keras.callbacks.TensorBoard`.
    `rates` has the firing rate of each layer and epoch.

    A layer whose neurons are nearly all silent, or mostly saturated, after two epochs one behind
    the other is named in a warning with what to try, once. After a single epoch of few steps, the
    moving averages of batch normalization may not be there yet.

    Args:
        x: array of samples as the network takes them, some 10 to 100. They cost one `predict`.
        silent: the share of silent neurons from which a layer is warned of, in [0, 1].
        saturated: the same of saturated neurons.
        batch_size: positive integer.

    Attributes:
        rates: dictionary from names of layers to lists of firing rates, one for each epoch.

    Raises:
        ValueError: for an argument outside its range; in `fit` for samples of another shape, or a
            model without neurons of this library.

    Example:

    >>> import keras_staa
    >>> model = keras_staa.STAAVGG(width=8, steps=2, classes=3)
    >>> model.compile("sgd", "sparse_categorical_crossentropy")
    >>> x, y = np.random.rand(8, 32, 32, 3).astype("float32"), np.arange(8) % 3
    >>> history = model.fit(x, y, verbose=0, callbacks=[SpikeMonitor(x[:4])])
    >>> sorted(history.history)
    ['firing_rate', 'loss', 'saturated', 'silent']
    """

    def __init__(self, x, silent=0.99, saturated=0.5, batch_size=32):
        super().__init__()
        self.x = np.asarray(x)
        self.limits = {
            "silent": checks.fraction("silent", silent),
            "saturated": checks.fraction("saturated", saturated),
        }
        self.batch_size = checks.positive_int("batch_size", batch_size)
        self.rates, self._watched, self._times = {}, None, {}

    def on_train_begin(self, logs=None):
        model = self.model
        finding.check_model(model)
        if not any(isinstance(layer, watching.NEURONS) for layer in _keras.all_layers(model)):
            raise ValueError(f"The model must have neurons of this library: {model.name!r}")
        if not len(self.x):
            raise ValueError("`x` must have samples. Received: none")
        finding.check_batch(self.x, model)
        self._watched = watching.Watched(model, _look)

    def on_epoch_end(self, epoch, logs=None):
        counts, samples = {}, len(self.x)
        for start in range(0, samples, self.batch_size):
            found = self._watched.predict_on_batch(self.x[start : start + self.batch_size])
            for name, part in found.items():
                counts[name] = counts.get(name, 0) + np.asarray(part["counts"], "float64")
        sums = {"firing_rate": 0.0, "silent": 0.0, "saturated": 0.0}
        for name, count in counts.items():
            fired = count.reshape(len(count), -1).sum(axis=0)
            shares = {
                "firing_rate": fired.mean() / (len(count) * samples),
                "silent": (fired == 0).mean(),
                "saturated": (fired == len(count) * samples).mean(),
            }
            self.rates.setdefault(name, []).append(float(shares["firing_rate"]))
            for key, share in shares.items():
                sums[key] += share * fired.size
            self._warn(name, shares, epoch)
        neurons = sum(count[0].size for count in counts.values())
        if logs is not None:
            logs.update({key: float(total / neurons) for key, total in sums.items()})

    def _warn(self, name, shares, epoch):
        for kind, limit in self.limits.items():
            key = name, kind
            before = self._times.get(key, 0)
            # A layer that was warned of stays at two.
            self._times[key] = max(before + 1 if shares[kind] >= limit else 0, 2 * (before > 1))
            if before == 1 and shares[kind] >= limit:
                warnings.warn(
                    f"Layer {name!r} in epoch {epoch + 1}: {shares[kind]:.1%} {kind}; "
                    f"{ADVICE[kind]}.",
                    stacklevel=2,
                )


def _look(layer):
    if isinstance(layer, watching.NEURONS):
        return lambda x, y: watching.of_spikes(y)
    return None
