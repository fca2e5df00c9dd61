"""A compact network of this library, for small images and short trainings."""

import keras
import numpy as np

from keras_staa import checks
from keras_staa.initializers import VarianceScaling
from keras_staa.layers import Conv2D
from keras_staa.layers.pooling import MaxPooling2D
from keras_staa.models.blocks import convolution, each_step, spikes, spread
from keras_staa.models.registry import register

# A patch of the whitening convolution has this many pixels a side.
PATCH = 2
WHITENING = "whitening"


def whiten(model, images, epsilon=5e-4):
    """Set the first convolution of a `STAACompact` so that its outputs are uncorrelated.

    Its filters become the eigenvectors of the covariance of the 2x2 patches of the images, each
    scaled to a variance of 1 and in both signs. They are not trained. Call it once, before
    training, with some thousand training images.

    Args:
        model: a network of the factory `STAACompact`.
        images: array (N, H, W, C), or frames (N, T, H, W, C), in the range of the model's input.
        epsilon: positive float, added to the variances: directions in which patches hardly differ
            are not amplified.

    Returns:
        The same model.

    Raises:
        ValueError: if the model has no such convolution, or the images do not fit it.

    Example:

    >>> import keras_staa
    >>> model = keras_staa.STAACompact(width=4)
    >>> whiten(model, np.random.rand(64, 32, 32, 3)) is model
    True

    Source: https://github.com/KellerJordan/cifar10-airbench
    """
    epsilon = checks.positive("epsilon", epsilon)
    names = [layer.name for layer in model.layers]
    if WHITENING not in names:
        raise ValueError(f"`model` must be a STAACompact. Received: model={model!r}")
    images, shape = np.asarray(images, "float32"), model.input_shape[1:]
    fits = images.ndim == len(shape) + 1 and all(
        size in (None, given) for size, given in zip(shape, images.shape[1:], strict=True)
    )
    if not fits or not len(images):
        raise ValueError(
            f"`images` must be of the shape (N, {', '.join(map(str, shape))}), N of 1 or more. "
            f"Received: images.shape={images.shape}"
        )
    if "normalization" in names:
        normalization = model.get_layer("normalization")
        images = keras.ops.convert_to_numpy(normalization(images))
    patches = np.lib.stride_tricks.sliding_window_view(
        images.reshape(-1, *shape[-3:]), (PATCH, PATCH), axis=(1, 2)
    )
    # (..., C, PATCH, PATCH) -> the kernel's order, (PATCH, PATCH, C).
    rows = np.moveaxis(patches, 3, -1).reshape(-1, PATCH * PATCH * shape[-1])
    variances, vectors = np.linalg.eigh(rows.T.astype("float64") @ rows / len(rows))
    filters = (vectors / np.sqrt(variances + epsilon))[:, ::-1]
    kernel = np.concatenate([filters, -filters], axis=1)
    layer = model.get_layer(WHITENING)
    layer = getattr(layer, "layer", layer)
    layer.kernel.assign(kernel.reshape(layer.kernel.shape).astype("float32"))
    return model


@register(
    input_shape=(32, 32, 3),
    width=64,
    source="this library's; the convolutions are those of "
    "https://github.com/KellerJordan/cifar10-airbench with neurons in place of GELU.",
    adapt=whiten,
)
def STAACompact(x, arguments):
    """Compact spiking network with spatial-temporal attention: six convolutions, 2 M weights."""
    patch = PATCH * PATCH * arguments.input_shape[-1]
    whitening = Conv2D(
        2 * patch,
        PATCH,
        use_bias=False,
        data_format="channels_last",
        kernel_initializer=_initializer(),
        trainable=False,
        name=WHITENING,
    )
    x = each_step(whitening, x, arguments.frames)
    stages = {}
    for stage, factor in enumerate((1, 4, 4), start=1):
        for index in (1, 2):
            name, filters = f"stage{stage}_{index}", arguments.width * factor
            first = stage == index == 1
            # The current of an image is computed once and repeated.
            per_step = arguments.frames or not first
            pool = MaxPooling2D(2, data_format="channels_last", name=f"{name}_pool")
            x = convolution(
                x,
                filters,
                3,
                1,
                name,
                per_step,
                _initializer(),
                pool if index == 1 else None,
                momentum=0.8,
            )
            x = spread(x, arguments) if first else x
            x = spikes(x, arguments, name, attention=not first)
        stages[f"stage{stage}"] = [x]
    return stages


def _initializer():
    """One for each layer: the same object would draw the same for layers of one shape."""
    return VarianceScaling(1 / 3, "fan_in", "uniform")
