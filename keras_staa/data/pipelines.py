"""Augmentation layers one after the other."""

import keras


@keras.saving.register_keras_serializable("keras_staa")
class Pipeline(keras.layers.Pipeline):
    """`keras.layers.Pipeline` that says its output shape.

    Keras runs every layer to find it, which takes half a minute on PyTorch for images that are
    augmented inside a model.

    Example:

    >>> layer = Pipeline([keras.layers.RandomFlip(), keras.layers.CenterCrop(4, 4)])
    >>> layer.compute_output_shape((None, 8, 8, 3))
    (None, 4, 4, 3)
    """

    def compute_output_shape(self, input_shape):
        for layer in self.layers:
            input_shape = layer.compute_output_shape(input_shape)
        return tuple(input_shape)
