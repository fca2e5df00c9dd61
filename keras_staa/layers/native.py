"""Keras's layers in front of a neuron, by the backends' own operations."""

import keras
import numpy as np
from keras import ops

from keras_staa.ops import native


@keras.saving.register_keras_serializable("keras_staa")
class Conv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D` without the copies of the input that it makes on PyTorch.

    Arguments, weights, results and the keys in weight files are those of Keras's layer, but that no
    samples give no results, which is an error on TensorFlow. With `groups` or channels first it is
    Keras's layer altogether.

    Example:

    >>> Conv2D(16, 3, padding="same")(np.zeros((2, 8, 8, 3))).shape == (2, 8, 8, 16)
    True
    """

    def call(self, inputs):
        if not self._is_plain():
            return super().call(inputs)
        bias = self.bias if self.use_bias else None
        return self.activation(self._convolved(inputs, self.kernel, bias))

    def convolution_op(self, inputs, kernel):
        if not self._is_plain():
            return super().convolution_op(inputs, kernel)
        return self._convolved(inputs, kernel)

    def _is_plain(self):
        return self.groups == 1 and self.data_format == "channels_last"

    def _convolved(self, inputs, kernel, bias=None):
        tensorflow = keras.backend.backend() == "tensorflow"
        # TensorFlow on a CPU gives no samples the sizes and channels of the input.
        if tensorflow and inputs.shape[0] == 0:
            return ops.zeros(self.compute_output_shape(inputs.shape), inputs.dtype)
        outputs = native.convolution(
            inputs, kernel, self.strides, self.padding, self.dilation_rate, bias
        )
        if tensorflow and inputs.shape[0] is None and None not in outputs.shape[1:]:
            outputs = ops.reshape(outputs, (ops.shape(inputs)[0], *outputs.shape[1:]))
        return outputs


@keras.saving.register_keras_serializable("keras_staa")
class BatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` in few passes over memory.

    Arguments, weights and the keys in weight files are those of Keras's layer, and so are the
    results, but that on TensorFlow and PyTorch they are more exact: variances keep their digits
    where a channel is nearly constant far from zero or has millions of values, and with 16 bits the
    result is rounded once. On JAX, neurons behind it do without its output in memory. For inputs
    other than images (B, H, W, C), masks, float64, synchronized or renormalizing layers and those
    without scale or center it is Keras's layer altogether.

    Example:

    >>> BatchNormalization()(np.zeros((2, 8, 8, 3))).shape == (2, 8, 8, 3)
    True
    """

    def call(self, inputs, training=None, mask=None):
        if mask is not None or not self._is_plain(inputs):
            return super().call(inputs, training=training, mask=mask)
        by_batch, by_moments = native.normalization()
        scale, offset, mean, variance = (
            ops.cast(weight, "float32")
            for weight in (self.gamma, self.beta, self.moving_mean, self.moving_variance)
        )
        if not (training and self.trainable):
            return by_moments(inputs, scale, offset, mean, variance, self.epsilon)
        outputs, *found = by_batch(inputs, scale, offset, self.epsilon)
        kept, rest = self.momentum, 1.0 - self.momentum
        self.moving_mean.assign(mean * kept + found[0] * rest)
        self.moving_variance.assign(variance * kept + found[1] * rest)
        return outputs

    def _is_plain(self, inputs):
        special = self.renorm or self.synchronized or not (self.scale and self.center)
        images = len(inputs.shape) == 4 and self.axis in (-1, 3)
        precise = "float64" in (self.variable_dtype, keras.backend.standardize_dtype(inputs.dtype))
        return images and not special and not precise


def affine(norm):
    """Return what batch normalization does in inference: scale and shift, float64 arrays (C,)."""
    mean, variance = numbers(norm.moving_mean), numbers(norm.moving_variance)
    scale = (1.0 if norm.gamma is None else numbers(norm.gamma)) / np.sqrt(variance + norm.epsilon)
    return scale, (0.0 if norm.beta is None else numbers(norm.beta)) - mean * scale


def numbers(weight):
    """Return a weight as an array of float64."""
    return keras.ops.convert_to_numpy(weight).astype("float64")
