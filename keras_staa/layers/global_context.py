"""Global context: one gate per channel, from an attention-weighted mean over space."""

import keras
from keras import ops

from keras_staa import checks
from keras_staa.initializers import ONES, ZEROS, glorot_uniform
from keras_staa.ops import modulate, summaries, with_sizes

EPSILON = 1e-3


@keras.saving.register_keras_serializable("keras_staa")
class GlobalContext(keras.layers.Layer):
    """Scale every channel by what the whole image says: (B, T, H, W, C) -> the same.

    For each step a softmax over space of the keys `W_k x` weighs the mean `c` of x over space;
    the gate is `2 * sigmoid(W_2 relu(LayerNorm(W_1 c)))`. W_2 starts at zero, so the layer starts
    as the identity, and a gate can amplify as well as damp. Training and inference are the same.

    Args:
        ratio: C / ratio (rounded down) is the width of the transform. With a width of 1 the
            normalization leaves nothing of the input; the gate is then one learned value a channel.

    Raises:
        ValueError: if `ratio` is no positive integer or is larger than the channels, or the
            input is not of rank 5.

    Example:

    >>> x = np.random.rand(2, 4, 8, 8, 16).astype("float32")
    >>> np.allclose(keras.ops.convert_to_numpy(GlobalContext(ratio=4)(x)), x)
    True

    Source: the paper's global context; the factor 2 and the zero start are inferred.
    """

    def __init__(self, ratio=4, **kwargs):
        super().__init__(**kwargs)
        self.ratio = checks.positive_int("ratio", ratio)

    def build(self, input_shape):
        checks.input_shape(self, input_shape, "bthwC")
        channels = input_shape[-1]
        if self.ratio > channels:
            raise ValueError(
                f"`ratio` must not be larger than the channels of the input, {channels}. "
                f"Received: ratio={self.ratio}, input_shape={tuple(input_shape)}"
            )
        self.input_spec = keras.layers.InputSpec(ndim=5, axes={-1: channels})
        hidden = channels // self.ratio

        def weight(name, shape, initializer):
            # The transform works on one vector a step: float32 costs nothing there.
            return self.add_weight(
                name=name, shape=shape, initializer=initializer, dtype="float32", autocast=False
            )

        self.key = weight("key", (channels, 1), glorot_uniform())
        self.squeeze = weight("squeeze", (channels, hidden), glorot_uniform())
        self.squeeze_bias = weight("squeeze_bias", (hidden,), ZEROS)
        self.gamma = weight("gamma", (hidden,), ONES)
        self.beta = weight("beta", (hidden,), ZEROS)
        self.excite = weight("excite", (hidden, channels), ZEROS)
        self.excite_bias = weight("excite_bias", (channels,), ZEROS)

    @property
    def undecayed_weights(self):
        """Weights without weight decay: all, since decay would make the gate a constant."""
        return self.weights

    def query(self):
        """Return the kernel of the key convolution: tensor (C,)."""
        return ops.convert_to_tensor(self.key)[:, 0]

    def gate(self, context):
        """Return the channel gate of an attended mean: float32 tensors (B, T, C) -> (B, T, C)."""
        z = ops.matmul(context, self.squeeze) + self.squeeze_bias
        z = z - ops.mean(z, axis=-1, keepdims=True)
        z = z * ops.rsqrt(ops.mean(ops.square(z), axis=-1, keepdims=True) + EPSILON)
        z = ops.relu(z * self.gamma + self.beta)
        return 2.0 * ops.sigmoid(ops.matmul(z, self.excite) + self.excite_bias)

    def initial_state(self, shape):
        """Return what the layer remembers of a stream: nothing."""
        return ()

    def stream(self, inputs, state, clock):
        """One time step of streams: see `keras_staa.streaming`."""
        return self.call(inputs[None])[0], state

    def compute_output_shape(self, input_shape):
        return input_shape

    def call(self, inputs):
        inputs = with_sizes(inputs, self.input_spec.axes)
        inputs, _, context, _ = summaries(inputs, self.query())
        return modulate(inputs, self.gate(context))

    def get_config(self):
        return {**super().get_config(), "ratio": self.ratio}
