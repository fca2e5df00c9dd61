"""Neurons behind a spatial-temporal attention aggregator, as one layer."""

import keras
from keras import ops

from keras_staa import _keras, serialized
from keras_staa.layers.lif import LIF
from keras_staa.layers.neuron import Neuron
from keras_staa.layers.staa import STAA, of_configuration
from keras_staa.ops import with_sizes


class _BehindAnAggregator(keras.layers.Layer):
    """The aggregator `staa` and behind it the neuron that `_neuron` gives."""

    def build(self, input_shape):
        for part in (self.staa, self._neuron()):
            part.trainable = part.trainable and self.trainable
            part.build(input_shape)
        self.input_spec = self.staa.input_spec

    @classmethod
    def from_config(cls, config):
        return super().from_config(of_configuration(config))

    def compute_output_shape(self, input_shape):
        return input_shape

    def jit(self, enabled=True):
        """Whether the layer is compiled by itself: see `keras_staa.jit_compile`."""
        self.staa.jit(enabled)
        self._neuron().jit(enabled)

    def call(self, inputs, training=False):
        neuron = self._neuron()
        inputs = with_sizes(inputs, neuron.input_spec.axes)
        spikes = neuron.gated(*self.staa.gates(inputs, training))
        # The neuron may have a dtype of its own.
        return ops.cast(spikes, inputs.dtype)

    def initial_state(self, shape):
        """Return the states of aggregator and neuron before the first time step."""
        return self.staa.initial_state(shape), self._neuron().initial_state(shape)

    def stream(self, inputs, state, clock):
        """One time step of streams: see `keras_staa.streaming`."""
        current, aggregated = self.staa.stream(inputs, state[0], clock)
        spikes, state = self._neuron().stream(current, state[1], clock)
        return ops.cast(spikes, inputs.dtype), (aggregated, state)


@keras.saving.register_keras_serializable("keras_staa")
class STAANeuron(_BehindAnAggregator):
    """The aggregator and any neuron behind it: (B, T, H, W, C) currents -> spikes.

    Args:
        neuron: a layer of the kind of `keras_staa.layers.Neuron`, or its serialized form.
        ratio, position, context, step_gate, bypass_rate, seed, step_units: as in `STAA`.

    Raises:
        ValueError: for an argument outside its range, or a neuron that is none.

    Example:

    >>> from keras_staa.layers import ALIF
    >>> x = np.random.rand(2, 4, 8, 8, 16).astype("float32")
    >>> STAANeuron(ALIF())(x).shape == (2, 4, 8, 8, 16)
    True
    """

    def __init__(
        self,
        neuron,
        ratio=4,
        position="axial",
        context=True,
        step_gate=True,
        bypass_rate=0.1,
        seed=None,
        step_units=8,
        **kwargs,
    ):
        super().__init__(**kwargs)
        policy = {"dtype": self.dtype_policy}
        self.staa = STAA(
            ratio, position, context, step_gate, bypass_rate, seed, step_units, **policy
        )
        self.neuron = serialized.make("neuron", neuron, registered=True)
        if not isinstance(self.neuron, Neuron):
            raise ValueError(
                "`neuron` must be an instance of `keras_staa.layers.Neuron`. "
                f"Received: neuron={neuron!r}"
            )

    def _neuron(self):
        return self.neuron

    def get_config(self):
        neuron = keras.saving.serialize_keras_object(self.neuron)
        return {**self.staa.get_config(), **super().get_config(), "neuron": neuron}


@keras.saving.register_keras_serializable("keras_staa")
class STAALIF(_BehindAnAggregator):
    """The aggregator and the neuron `LIF` behind it: (B, T, H, W, C) currents -> spikes.

    The arguments are those of `STAA` and of `LIF`; M and N are learned unless `learn=False`.

    Example:

    >>> x = np.random.rand(2, 4, 8, 8, 16).astype("float32")
    >>> [float(s) for s in np.unique(keras.ops.convert_to_numpy(STAALIF()(x)))]
    [0.0, 1.0]
    """

    def __init__(
        self,
        ratio=4,
        position="axial",
        context=True,
        step_gate=True,
        bypass_rate=0.1,
        seed=None,
        step_units=8,
        decay=0.25,
        gain=1.0,
        learn=True,
        threshold=1.0,
        reset="hard",
        detach_reset=True,
        surrogate="rectangular",
        **kwargs,
    ):
        super().__init__(**kwargs)
        policy = {"dtype": self.dtype_policy}
        self.staa = STAA(
            ratio, position, context, step_gate, bypass_rate, seed, step_units, **policy
        )
        self.lif = LIF(decay, gain, learn, threshold, reset, detach_reset, surrogate, **policy)

    def _neuron(self):
        return self.lif

    def get_config(self):
        parts = {**self.staa.get_config(), **self.lif.get_config()}
        return {**parts, **super().get_config()}


# Layers whose outputs are spikes.
SPIKING = (Neuron, _BehindAnAggregator)


def spiking_layers(model):
    """Return the layers of a model or layer that give spikes, each once.

    Args:
        model: a `keras.Model` or a layer. Layers inside of layers are found.
    """
    every = _keras.all_layers(model) if isinstance(model, keras.layers.Layer) else []
    inner = {id(layer._neuron()) for layer in every if isinstance(layer, _BehindAnAggregator)}
    return [layer for layer in every if isinstance(layer, SPIKING) and id(layer) not in inner]
