"""Position encoding over time and space."""

import keras
import numpy as np
from keras import ops

from keras_staa import checks
from keras_staa.initializers import ZEROS
from keras_staa.ops import axial_encoding, with_sizes

KINDS = ("axial", "full", "sinusoidal")


@keras.saving.register_keras_serializable("keras_staa")
class PositionEncoding(keras.layers.Layer):
    """Add an embedding E of time and place to a current: (B, T, H, W, C) -> the same.

    Args:
        kind: `"axial"`, `E[t,h,w] = a[t] + b[h] + d[w]`, (T + H + W) * C learned values that start
            at zero; `"full"`, T * H * W * C learned values that start at zero; `"sinusoidal"`,
            fixed: the mean of the three axes' sine and cosine waves.

    Raises:
        ValueError: for an unknown `kind`, an input that is not of rank 5, or a size that is not
            static or is not the one the layer was built with.

    Example:

    >>> layer = PositionEncoding()
    >>> layer(np.ones((2, 4, 8, 8, 3))).shape == (2, 4, 8, 8, 3)
    True
    >>> layer.count_params()
    60

    Source: the paper's position encoding; the axial shape is inferred.
    """

    # A stream ends after the time steps that the layer was built with.
    bounds_steps = True

    def __init__(self, kind="axial", **kwargs):
        super().__init__(**kwargs)
        self.kind = checks.choice("kind", kind, KINDS)

    @property
    def undecayed_weights(self):
        """Weights without weight decay: all, since they are added and scale nothing."""
        return self.weights

    def build(self, input_shape):
        checks.input_shape(self, input_shape, "bTHWC")
        self.input_spec = keras.layers.InputSpec(
            ndim=5, axes=dict(enumerate(input_shape[1:], start=1))
        )
        t, h, w, c = input_shape[1:]
        if self.kind == "axial":
            self.axes = [
                self.add_weight(name=name, shape=(size, c), initializer=ZEROS)
                for name, size in (("steps", t), ("rows", h), ("columns", w))
            ]
        elif self.kind == "full":
            self.embedding = self.add_weight(
                name="embedding", shape=(t, h, w, c), initializer=ZEROS
            )
        else:
            # Made when it is first used: a network that is only looked at needs no memory.
            self.table, self.grid = None, (t, h, w, c)

    def encoding(self):
        """Return the embedding E as a tensor (T, H, W, C)."""
        if self.kind == "axial":
            return axial_encoding(*(ops.convert_to_tensor(axis) for axis in self.axes))
        if self.kind == "full":
            return ops.convert_to_tensor(self.embedding)
        if self.table is None:
            self.table = _sinusoidal(*self.grid)
        return ops.convert_to_tensor(self.table, dtype=self.compute_dtype)

    def initial_state(self, shape):
        """Return what the layer remembers of a stream: nothing."""
        return ()

    def at(self, clock):
        """Return the embedding of each stream's time step.

        Args:
            clock: int32 tensor (B,), the number of the step, from 0.

        Returns:
            Tensor (B, H, W, C).
        """
        if self.kind != "axial":
            return ops.take(self.encoding(), clock, axis=0)
        # As Keras casts weights where it calls a layer.
        steps, rows, columns = (ops.cast(axis, self.compute_dtype) for axis in self.axes)
        return axial_encoding(ops.take(steps, clock, axis=0), rows, columns)

    def stream(self, inputs, state, clock):
        """One time step of streams: see `keras_staa.streaming`."""
        return inputs + ops.cast(self.at(clock), inputs.dtype), state

    def compute_output_shape(self, input_shape):
        return input_shape

    def call(self, inputs):
        inputs = with_sizes(inputs, self.input_spec.axes)
        return inputs + ops.cast(self.encoding(), inputs.dtype)

    def get_config(self):
        return {**super().get_config(), "kind": self.kind}

    def transfer_from(self, source):
        """Take the weights of a layer built for another T, H or W, interpolated linearly."""
        for own, other in zip(self.weights, source.weights, strict=True):
            values = np.asarray(ops.convert_to_numpy(other), "float32")
            for axis in range(len(own.shape) - 1):
                values = _interpolate(values, axis, own.shape[axis])
            own.assign(values)


def _interpolate(values, axis, size):
    """Resample an axis linearly, with the centres of the end samples kept in place."""
    old = values.shape[axis]
    if old == size:
        return values
    places = (np.arange(size) + 0.5) * old / size - 0.5
    places = np.clip(places, 0, old - 1)
    below = np.floor(places).astype(int)
    above = np.minimum(below + 1, old - 1)
    share = np.expand_dims(places - below, tuple(range(1, values.ndim - axis)))
    return np.take(values, below, axis) * (1 - share) + np.take(values, above, axis) * share


def _sinusoidal(*shape):
    """Mean of the sine and cosine waves of three axes, as a NumPy array (T, H, W, C)."""
    channels = shape[-1]
    rate = 10000.0 ** (-2.0 * (np.arange(channels) // 2) / channels)
    total = np.zeros(shape, "float32")
    for axis in range(3):
        angle = np.arange(shape[axis])[:, None] * rate
        wave = np.where(np.arange(channels) % 2 == 0, np.sin(angle), np.cos(angle))
        total += wave.reshape(*(-1 if i == axis else 1 for i in range(3)), channels) / 3
    return total
