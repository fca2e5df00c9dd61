"""A compact network of this library, for small images and short trainings."""

import keras
import numpy as np

from keras_staa import checks
from keras_staa.initializers import VarianceScaling
from keras_staa.layers import Conv2D
from keras_staa.layers.pooling import MaxPooling2D
from keras_staa.models.argument import FIXED, Argument
from keras_staa.models.blocks import convolution, each_step, precise, spikes, spread
from keras_staa.models.registry import register

WHITENING = "whitening"
STEM_STRIDES = Argument(
    name="stem_strides",
    default=1,
    text="positive integer, strides of the whitening convolution, whose patches have twice as many "
    "pixels a side. With 2, images of 64x64 take little more than those of 32x32 do with 1.",
    check=checks.positive_int,
    in_presets=FIXED,
)


def whiten(model, images, epsilon=0.05):
    """Set the first convolution of a `STAACompact` so that its outputs are uncorrelated.

    Its filters become the eigenvectors of the covariance of the 2x2 patches of the images, each
    scaled to a variance of 1 and in both signs. With `stem_strides=2` patches have 4x4 pixels, and
    the half of the eigenvectors with the larger variances is taken. The filters are not trained.
    Call it once, before training, with some thousand training images.

    Args:
        model: a network of the factory `STAACompact`.
        images: array (N, H, W, C), or frames (N, T, H, W, C), in the range of the model's input.
            They may have another height and width than the input.
        epsilon: positive float, added to the variances, as a fraction of the mean square of the
            values that the filters see. Directions in which patches hardly differ are not
            amplified: a filter makes values at most `1 / sqrt(epsilon)` times as large, of images
            with a mean square of 1. With much smaller values a noise that nobody sees decides.

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
    layer = model.get_layer(WHITENING)
    layer = getattr(layer, "layer", layer)
    smallest = (1, *(1,) * (len(shape) - 3), *layer.kernel_size, shape[-1])
    fits = images.ndim == len(smallest) and images.shape[-1] == shape[-1]
    if not fits or any(given < least for given, least in zip(images.shape, smallest, strict=True)):
        steps = ", steps" * (len(shape) - 3)
        least = " x ".join(map(str, layer.kernel_size))
        raise ValueError(
            f"`images` must be of the shape (N{steps}, height, width, {shape[-1]}), N of 1 or "
            f"more and at least {least} pixels. Received: images.shape={images.shape}"
        )
    if "normalization" in names:
        normalization = model.get_layer("normalization")
        images = keras.ops.convert_to_numpy(normalization(images))
    covariance = _covariance(images.reshape(-1, *images.shape[-3:]), layer)
    variances, vectors = np.linalg.eigh(covariance)
    # Where all images are black, any filter will do.
    added = epsilon * (np.mean(variances) or 1.0)
    filters = (vectors / np.sqrt(variances + added))[:, ::-1][:, : layer.filters // 2]
    kernel = np.concatenate([filters, -filters], axis=1)
    layer.kernel.assign(kernel.reshape(layer.kernel.shape).astype("float32"))
    return model


def _covariance(images, layer):
    """Return the covariance of the patches that a convolution sees, in the kernel's order."""
    total, count, size = 0.0, 0, layer.kernel_size
    # The patches of thousands of images take many times the memory of the images.
    for start in range(0, len(images), 500):
        patches = np.lib.stride_tricks.sliding_window_view(
            images[start : start + 500], size, axis=(1, 2)
        )[:, :: layer.strides[0], :: layer.strides[1]]
        # (..., C, height, width) -> (height, width, C).
        rows = np.moveaxis(patches, 3, -1).reshape(-1, size[0] * size[1] * images.shape[-1])
        rows = rows.astype("float64")
        total, count = total + rows.T @ rows, count + len(rows)
    return total / count


@register(
    input_shape=(32, 32, 3),
    width=64,
    source="this library's; the convolutions are those of "
    "https://github.com/KellerJordan/cifar10-airbench with neurons in place of GELU.",
    arguments=[STEM_STRIDES],
    adapt=whiten,
)
def STAACompact(x, arguments):
    """Compact spiking network with spatial-temporal attention: six convolutions, 2 M weights."""
    strides = arguments.stem_strides
    _check_size(arguments.input_shape, 9 * strides)
    whitening = Conv2D(
        # Both signs of the leading 1 / strides of the eigenvectors.
        2 * 4 * strides * arguments.input_shape[-1],
        2 * strides,
        strides=strides,
        use_bias=False,
        data_format="channels_last",
        kernel_initializer=_initializer(),
        trainable=False,
        dtype=precise(),
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


def _check_size(shape, least):
    """Three poolings need 8 x 8 after the stem, which is one less than the size by its strides."""
    if any(size is not None and size < least for size in shape[-3:-1]):
        raise ValueError(
            f"`input_shape` must have a height and a width of at least {least}. Received: "
            f"input_shape={shape}"
        )


def _initializer():
    """One for each layer: the same object would draw the same for layers of one shape."""
    return VarianceScaling(1 / 3, "fan_in", "uniform")
