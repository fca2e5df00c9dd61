"""Run a network and add up what goes through its layers."""

import dataclasses

import keras
import numpy as np
from keras import ops

from keras_staa import _keras
from keras_staa.insight import finding
from keras_staa.layers import STAA, GlobalContext, PerStep
from keras_staa.layers.step_gate import StepGate
from keras_staa.layers.steps import unwrapped

AGGREGATORS = (STAA, GlobalContext, StepGate)


@dataclasses.dataclass(frozen=True)
class Call:
    """A call of a layer.

    Attributes:
        layer: the layer.
        inputs, outputs: shapes of a sample.
    """

    layer: keras.layers.Layer
    inputs: tuple
    outputs: tuple


class Watched(keras.Model):
    """A model that returns what goes through the layers of another one, in place of its outputs.

    Args:
        model: a functional or sequential model.
        kinds: function `layer -> function or None`. The function takes input and output of a call
            and returns a dictionary of tensors.

    For a batch it returns a dictionary from names, those of layers and `/2` and so on for further
    calls of the same layer, to these dictionaries. `calls` then has the `Call` of each name.
    """

    def __init__(self, model, kinds):
        super().__init__(name="watched")
        self.model, self.kinds = model, kinds
        self.calls = {}
        self.built = True

    def call(self, inputs, training=None):
        found, self.calls = {}, {}

        def watch(layer, x, y):
            look = self.kinds(layer)
            if look is None:
                return
            name = finding.numbered(layer.name, found)
            self.calls[name] = Call(layer, tuple(ops.shape(x)[1:]), tuple(ops.shape(y)[1:]))
            found[name] = look(x, y)

        _keras.run_watched(self.model, inputs, watch)
        return found


def of_inputs(x, per_step):
    """Return what the operations of a layer with weights are counted from.

    Args:
        x: tensor (B, ..., C), or (B, T, ..., C).
        per_step: whether there are time steps.

    Returns:
        A dictionary: `sums` over batch and channels, float32 (...) or (T, ...), and `binary`, 1
        where all values are 0 or 1.
    """
    x = ops.cast(x, "float32")
    sums = ops.sum(x, axis=(0, -1))
    binary = ops.all(ops.equal(x * x, x))
    return {"sums": sums if per_step else sums[None], "binary": ops.cast(binary, "float32")}


def of_spikes(y):
    """Return how often neurons fire.

    Args:
        y: tensor (B, T, ...).

    Returns:
        A dictionary: `counts`, float32 (T, ...), sums over the batch.
    """
    return {"counts": ops.sum(ops.cast(y, "float32"), axis=0)}


def firing(counts, samples):
    """Return firing rates from the counts of all batches.

    Args:
        counts: array (T, ...), `counts` of `of_spikes`, summed.
        samples: number of samples.

    Returns:
        A dictionary of attributes of a `LayerReport`.
    """
    steps = counts.shape[0]
    counts = counts.reshape(steps, -1)
    each = counts.sum(axis=0)
    return {
        "kind": "neurons",
        "steps": steps,
        "neurons": each.size,
        "firing_rate": float(counts.sum() / (counts.size * samples)),
        "rates": tuple(float(rate) for rate in counts.mean(axis=1) / samples),
        "silent": float((each == 0).mean()),
        "saturated": float((each == steps * samples).mean()),
    }


def parts_of(layer):
    """Return position encoding, global context and step attention of an aggregator, or None."""
    if isinstance(layer, STAA):
        return layer.position, layer.context, layer.step_attention
    alone = isinstance(layer, GlobalContext)
    return None, layer if alone else None, None if alone else layer


def has_steps(layer):
    """Whether a layer is applied to each time step."""
    return isinstance(layer, PerStep | keras.layers.TimeDistributed)


def inner(layer):
    """Return the layer that a wrapper applies to each time step, or the layer itself."""
    return layer.layer if isinstance(layer, keras.layers.TimeDistributed) else unwrapped(layer)


def batches_of(x, batch_size):
    """Yield batches of inputs, without labels.

    Args:
        x: an array, or an iterable of batches as `fit` takes it: inputs, or tuples of inputs and
            what else `fit` wants.
        batch_size: positive integer, for arrays.
    """
    batches = _iterable(x)
    if hasattr(x, "shape") and hasattr(x, "dtype"):
        batches = (x[i : i + batch_size] for i in range(0, x.shape[0], batch_size))
    for batch in batches:
        yield _array(batch[0] if isinstance(batch, tuple | list) else batch)


def checked(batches, model, total=None, verbose=0):
    """Yield batches that fit a model, without empty ones, with a progress bar.

    Args:
        batches: iterable of batches, or of tuples that begin with one.
        model: the model.
        total: integer, the number of batches, or None.
        verbose: 1 shows a progress bar, 0 does not.

    Raises:
        ValueError: for samples of another shape, values that are not numbers, or no samples.
    """
    bar = keras.utils.Progbar(total, unit_name="batch") if verbose else None
    number, samples = 0, 0
    for number, batch in enumerate(batches, 1):
        inputs = batch[0] if isinstance(batch, tuple) else batch
        finding.check_batch(inputs, model)
        if len(inputs):
            yield batch
        samples += len(inputs)
        if bar is not None:
            bar.update(number)
    if not samples:
        raise ValueError("`x` must have samples. Received: none")
    if bar is not None:
        bar.update(number, finalize=True)


def batches_with_labels(x):
    """Yield pairs of arrays, inputs and labels, from an iterable of batches as `fit` takes it."""
    for batch in _iterable(x):
        if not isinstance(batch, tuple | list) or len(batch) < 2:
            raise ValueError("`x` must give batches (inputs, labels). Received: one without labels")
        yield _array(batch[0]), _array(batch[1])


def _iterable(x):
    return (x[i] for i in range(len(x))) if isinstance(x, keras.utils.PyDataset) else x


def _array(batch):
    # `tf.data` gives TensorFlow's tensors on every backend.
    return ops.convert_to_numpy(batch) if ops.is_tensor(batch) else np.asarray(batch)


def count_batches(x, batch_size):
    """Return how many batches `batches_of` yields, or None where that is not known."""
    if hasattr(x, "shape") and hasattr(x, "dtype"):
        return -(-x.shape[0] // batch_size)
    try:
        return len(x)
    except TypeError:
        return None
