"""Feature maps of several sizes, as heads for detection and segmentation want them."""

import math
import re

import keras

from keras_staa.layers import MeanOverSteps
from keras_staa.models.network import Network

LEVEL = re.compile(r"P\d+")


@keras.saving.register_keras_serializable("keras_staa")
class FeaturePyramid(keras.Model):
    """A backbone for images that gives feature maps of each size: what `feature_pyramid` makes.

    It has what the backbones of keras-cv and keras-hub have.

    Example:

    >>> from keras_staa import STAAResNet34
    >>> network = STAAResNet34(width=4, steps=1, input_shape=(64, 64, 3), include_top=False)
    >>> backbone = feature_pyramid(network)
    >>> for level, tensor in backbone.pyramid_outputs.items():
    ...     print(level, tensor.shape)
    P1 (None, 32, 32, 4)
    P2 (None, 16, 16, 4)
    P3 (None, 8, 8, 8)
    P4 (None, 4, 4, 16)
    P5 (None, 2, 2, 32)
    """

    @property
    def pyramid_outputs(self):
        """Keras tensors (B, h, w, channels) by level, as in keras-hub: P3 has an eighth of H."""
        return {name: self.get_layer(name).output for name in self.pyramid_level_inputs}

    @property
    def pyramid_level_inputs(self):
        """Names of layers by level, as in keras-cv."""
        names = [layer.name for layer in self.layers if LEVEL.fullmatch(layer.name)]
        return {name: name for name in sorted(names, key=lambda name: int(name[1:]))}


def feature_pyramid(network):
    """Return a backbone of a network: the mean over time of the last stage of each size.

    Args:
        network: a `keras_staa.models.Network` for images of known sizes. It shares the layers.

    Returns:
        A `FeaturePyramid`, a `keras.Model` that returns a dictionary of maps (B, h, w, channels).

    Raises:
        ValueError: if the network has no stages, or no sizes.

    Example:

    ```python
    network = keras_staa.STAAResNet34(include_top=False)
    backbone = keras_staa.models.feature_pyramid(network)
    detector = keras_cv.models.RetinaNet(backbone, num_classes=20, bounding_box_format="xyxy")
    ```
    """
    if not isinstance(network, Network) or not network.stage_outputs:
        raise ValueError(
            f"`network` must be a network with stages, of one of the factories. Received: {network}"
        )
    size = network.input_shape[-3]
    if size is None:
        raise ValueError("`network` must have an `input_shape` with a height and a width.")
    levels = {}
    for tensor in network.stage_outputs.values():
        levels[f"P{round(math.log2(size / tensor.shape[-3]))}"] = tensor
    maps = {name: MeanOverSteps(name=name)(tensor) for name, tensor in levels.items()}
    return FeaturePyramid(network.inputs, maps, name=f"{network.name}_pyramid")
