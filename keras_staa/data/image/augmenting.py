"""How an augmentation is given, and how it is applied to images and labels."""

import keras

from keras_staa.data.image import augment as augment_layers

# Layers that mix two images of a batch, and their labels: Keras's, and those of keras-cv.
MIXING = (keras.layers.CutMix, keras.layers.MixUp)
MIXING_OF_KERAS_CV = ("CutMix", "FourierMix", "MixUp")


def mixes(layer):
    """Whether a layer mixes images, and needs one-hot labels."""
    kind = type(layer)
    # Its layers are told by their names, so that it is not imported.
    of_keras_cv = kind.__module__.split(".")[0] == "keras_cv"
    return isinstance(layer, MIXING) or (of_keras_cv and kind.__name__ in MIXING_OF_KERAS_CV)


def layers_of(augment, image_shape):
    """Return an augmentation as a list of layers.

    Args:
        augment: None, the name of a policy, a Keras layer, or a list of names and layers.
        image_shape: (height, width, channels).

    Raises:
        ValueError: for anything else.
    """
    if augment is None:
        return []
    found = []
    for part in augment if isinstance(augment, (tuple, list)) else [augment]:
        if isinstance(part, str) and part in augment_layers.POLICIES:
            found += augment_layers.pipeline(part, image_shape).layers
        elif isinstance(part, keras.Layer):
            found.append(part)
        else:
            raise ValueError(
                f"`augment` must be None, one of {list(augment_layers.POLICIES)}, a Keras layer or "
                f"a list of these. Received: augment={augment!r}"
            )
    return found


def apply(layers, images, labels, training=True):
    """Return images and labels after the layers, of which some mix the labels too.

    In inference layers are the identity, or take the middle of the size that they crop to.
    """
    for layer in layers:
        if mixes(layer):
            mixed = layer({"images": images, "labels": labels}, training=training)
            images, labels = mixed["images"], mixed["labels"]
        else:
            images = layer(images, training=training)
    return images, labels
