"""Keras's maxima over space, which on CPUs may take NaN for the smallest of numbers.

TensorFlow does so always, and XLA where it computes several maxima by one vector instruction.
"""

import keras
from keras import ops

from keras_staa.ops.portable import is_portable
from keras_staa.ops.sums import by_platform


def _marked(pool, inputs):
    """Return the maxima, but NaN where there is one among the inputs of a maximum."""

    if is_portable():
        return pool(inputs)

    def marked(inputs):
        found = pool(ops.cast(ops.isnan(inputs), inputs.dtype))
        return ops.where(found > 0, float("nan"), pool(inputs))

    if keras.backend.backend() == "tensorflow":
        return marked(inputs)
    return by_platform(marked, pool)(inputs)


@keras.saving.register_keras_serializable("keras_staa")
class MaxPooling2D(keras.layers.MaxPooling2D):
    """`keras.layers.MaxPooling2D` that lets NaN through on every backend.

    Results and arguments are those of Keras's layer. On PyTorch it does without its copy of the
    input.

    Example:

    >>> MaxPooling2D()(np.zeros((2, 8, 8, 3))).shape == (2, 4, 4, 3)
    True
    """

    def call(self, inputs):
        return _marked(self._maxima, inputs)

    def _maxima(self, inputs):
        if self.padding == "valid" and self.data_format == "channels_last":
            return _maxima(inputs, self.pool_size, self.strides)
        return super().call(inputs)


def _maxima(inputs, pool_size, strides):
    """Return the maxima of images (B, H, W, C) over windows that do not pass the border."""
    if keras.backend.backend() != "torch":
        return ops.max_pool(inputs, pool_size, strides, "valid", "channels_last")
    from torch.nn import functional

    # Keras copies the input to channels first, and all that follows stays in that order, in which
    # pooling, normalization and neurons are several times as slow.
    x = ops.convert_to_tensor(inputs).permute(0, 3, 1, 2)
    return functional.max_pool2d(x, pool_size, strides).permute(0, 2, 3, 1)


@keras.saving.register_keras_serializable("keras_staa")
class GlobalMaxPooling2D(keras.layers.GlobalMaxPooling2D):
    """`keras.layers.GlobalMaxPooling2D` that lets NaN through on every backend.

    Example:

    >>> GlobalMaxPooling2D()(np.zeros((2, 8, 8, 3))).shape == (2, 3)
    True
    """

    def call(self, inputs):
        return _marked(super().call, inputs)
