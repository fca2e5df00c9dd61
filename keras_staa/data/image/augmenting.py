"""How an augmentation is given, and how it is applied to images and labels."""

import keras

from keras_staa.data.image import augment as augment_layers

# Layers that mix two images of a batch, and their labels.
MIXING = (keras.layers.CutMix, keras.layers.MixUp)


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


def apply(layers, images, labels):
    """Return images and labels after the layers, of which some mix the labels too."""
    for layer in layers:
        if isinstance(layer, MIXING):
            mixed = layer({"images": images, "labels": labels}, training=True)
            images, labels = mixed["images"], mixed["labels"]
        else:
            images = layer(images, training=True)
    return images, labels
