"""`trace`: membrane potentials and spikes of single neurons over time."""

import dataclasses
import math

import numpy as np
from keras import ops

from keras_staa import checks
from keras_staa.insight import finding, watching
from keras_staa.layers.staa_neurons import SPIKING
from keras_staa.ops import enriched, saturated


@dataclasses.dataclass(frozen=True)
class Trace:
    """What neurons of a layer do over time.

    Attributes:
        layer: string, the name of the layer.
        neurons: list of tuples, the places of the neurons, such as (row, column, channel).
        current: array (B, T, neurons), the input current.
        potential: array (B, T, neurons), the membrane potential V before a reset. It is relative to
            the threshold where that is not fixed: what is above the threshold of the layer fires.
        spikes: array (B, T, neurons).
        threshold: float.
    """

    layer: str
    neurons: list
    current: np.ndarray
    potential: np.ndarray
    spikes: np.ndarray
    threshold: float


def trace(model, x, layer, neurons=8):
    """Return membrane potential and spikes of chosen neurons over time.

    Args:
        model: a built functional or sequential `keras.Model`.
        x: array, samples as the model takes them.
        layer: string, the name of a layer of neurons.
        neurons: list of tuples, places of neurons such as (row, column, channel), or a number of
            neurons that are spread evenly over the layer.

    Returns:
        A `Trace`.

    Raises:
        ValueError: for a name that is not that of a layer of neurons, a place that does not exist,
            or samples of another shape.

    Example:

    >>> import keras_staa
    >>> model = keras_staa.STAAVGG(width=8, steps=4)
    >>> x = np.random.rand(2, 32, 32, 3).astype("float32")
    >>> found = trace(model, x, "stage1_1_neuron", neurons=[(0, 0, 0), (5, 5, 1)])
    >>> found.potential.shape
    (2, 4, 2)
    """
    finding.check_model(model)
    every = finding.layers_of_kind(model, SPIKING)
    chosen = finding.named("layer", layer, every, "a layer of neurons")
    x = np.asarray(x)
    finding.check_batch(x, model)
    watched = watching.Watched(
        model, lambda one: (lambda x, y: {"inputs": x}) if one is chosen else None
    )
    inputs = ops.convert_to_tensor(watched.predict_on_batch(x)[layer]["inputs"])
    places = _places(neurons, tuple(inputs.shape[2:]))
    neuron = chosen
    if hasattr(chosen, "staa"):
        neuron, inputs = chosen._neuron(), enriched(*chosen.staa.gates(inputs))
    index = slice(None), slice(None), *np.array(places).T
    found = (values[index] for values in _run(neuron, saturated(inputs)))
    return Trace(layer, places, *found, neuron.threshold)


def _places(neurons, shape):
    if checks.is_positive_int(neurons):
        size = math.prod(shape)
        flat = np.linspace(0, size - 1, min(neurons, size)).astype(int)
        return [
            tuple(int(i) for i in place) for place in np.transpose(np.unravel_index(flat, shape))
        ]
    wrong = f"`neurons` must be a number of neurons, or places in {shape}. Received: "
    if not isinstance(neurons, list | tuple | np.ndarray):
        raise ValueError(f"{wrong}{neurons!r}")
    places = [tuple(place) for place in neurons]
    for place in places:
        if len(place) != len(shape) or not all(
            0 <= i < size for i, size in zip(place, shape, strict=True)
        ):
            raise ValueError(f"{wrong}{place}")
    return places


def _run(neuron, drive):
    """Return current, potential and spikes, (B, T, ...), by the neuron's equations."""
    shape = tuple(drive.shape)
    state, seen, fire = neuron.initial_state((shape[0], *shape[2:])), [], neuron.fire

    def recorded(u):
        seen.append(u)
        return fire(u)

    spikes, current = [], [drive[:, t] for t in range(shape[1])]
    neuron.fire = recorded
    try:
        for x in current:
            s, state = neuron.step(state, x)
            spikes.append(s)
    finally:
        del neuron.fire
    potential = [u + neuron.threshold for u in seen]
    return tuple(
        np.stack([ops.convert_to_numpy(ops.stop_gradient(v)) for v in values], axis=1)
        for values in (current, potential, spikes)
    )
