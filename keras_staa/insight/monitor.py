"""Watch firing rates during training."""

import warnings

import keras
import numpy as np

from keras_staa import checks
from keras_staa.insight import finding, watching
from keras_staa.insight.results import MEANS, LayerReport, mean
from keras_staa.layers.staa_neurons import SPIKING

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
        finding.check_spiking(self.model)
        if not len(self.x):
            raise ValueError("`x` must have samples. Received: none")
        finding.check_batch(self.x, self.model)
        self._watched = watching.Watched(self.model, _look)

    def on_epoch_end(self, epoch, logs=None):
        counts = {}
        for batch in watching.batches_of(self.x, self.batch_size):
            for name, part in self._watched.predict_on_batch(batch).items():
                counts[name] = counts.get(name, 0) + np.asarray(part["counts"], "float64")
        layers = [
            LayerReport(name, **watching.firing(count, len(self.x)))
            for name, count in counts.items()
        ]
        for layer in layers:
            self.rates.setdefault(layer.name, []).append(layer.firing_rate)
            self._warn(layer, epoch)
        if logs is not None:
            logs.update({name: mean(layers, name) for name in MEANS})

    def _warn(self, layer, epoch):
        for kind, limit in self.limits.items():
            key, share = (layer.name, kind), getattr(layer, kind)
            times = self._times.get(key, 0)
            # A layer that was warned of stays at two.
            if times == 2:
                continue
            self._times[key] = times + 1 if share >= limit else 0
            if self._times[key] == 2:
                warnings.warn(
                    f"Layer {layer.name!r} in epoch {epoch + 1}: {share:.1%} {kind}; "
                    f"{ADVICE[kind]}.",
                    stacklevel=2,
                )


def _look(layer):
    if isinstance(layer, SPIKING):
        return lambda x, y: watching.of_spikes(y)
    return None
