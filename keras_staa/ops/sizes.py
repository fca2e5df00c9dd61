"""Sizes of tensors that a layer knows better than their static shapes."""

import keras


def with_sizes(x, sizes):
    """Return a tensor with the sizes that it must have, checked when it is computed.

    TensorFlow alone has tensors whose sizes are not known while a program is traced, as a
    `tf.data` data set of `(None, None, None, 3)` gives them.

    Args:
        x: a tensor.
        sizes: dictionary of axes and their sizes.

    Returns:
        The tensor; the same object where all of the sizes are known.

    Example:

    >>> tuple(with_sizes(keras.ops.ones((2, 4)), {1: 4}).shape)
    (2, 4)
    """
    unknown = {axis for axis in sizes if x.shape[axis] is None}
    if not unknown:
        return x
    return _ensure(x, sizes) if keras.backend.backend() == "tensorflow" else x


def _ensure(x, sizes):
    import tensorflow as tf

    shape = x.shape.as_list()
    for axis, size in sizes.items():
        shape[axis] = size
    return tf.ensure_shape(x, shape)
