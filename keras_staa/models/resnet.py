"""Residual networks of the paper."""

from functools import partial

from keras import layers

from keras_staa.layers.pooling import MaxPooling2D
from keras_staa.models.factory import (
    average_pool,
    convolution,
    cut,
    each_step,
    factory,
    spikes,
    stem,
)


def block(x, filters, strides, arguments, name, pooled_shortcut=False):
    """Basic block: the shortcut is added to the current, so every spike stays 0 or 1."""
    shortcut = x
    if strides != 1 or x.shape[-1] != filters:
        stride = strides
        if pooled_shortcut and strides != 1:
            shortcut, stride = average_pool(shortcut, f"{name}_shortcut_pool"), 1
        shortcut = convolution(shortcut, filters, 1, stride, f"{name}_shortcut")
    x = convolution(x, filters, 3, strides, f"{name}_1")
    x = spikes(x, arguments, f"{name}_1")
    x = convolution(x, filters, 3, 1, f"{name}_2")
    x = layers.Add(name=f"{name}_add")([x, shortcut])
    return cut(spikes(x, arguments, f"{name}_2"), arguments)


def stages(x, arguments, plan, pooled_shortcut=False):
    """`plan`: for each stage (blocks, channels over width, strides of the first block)."""
    for number, (blocks, factor, strides) in enumerate(plan, start=1):
        for index in range(blocks):
            x = block(
                x,
                arguments.width * factor,
                strides if index == 0 else 1,
                arguments,
                f"stage{number}_block{index + 1}",
                pooled_shortcut,
            )
    return x


def _one_convolution(x, arguments, plan):
    x = stem(x, arguments.width, 3, 1, arguments)
    return stages(x, arguments, plan)


def _three_convolutions(x, arguments, plan):
    x = stem(x, arguments.width, 3, 1, arguments, "stem_1")
    for name in ("stem_2", "stem_3"):
        x = convolution(x, arguments.width, 3, 1, name)
        x = spikes(x, arguments, name, attention=False)
    x = average_pool(x, "stem_pool")
    return stages(x, arguments, plan, pooled_shortcut=True)


def _imagenet_stem(x, arguments, plan):
    x = stem(x, arguments.width, 7, 2, arguments)
    pool = MaxPooling2D(3, strides=2, padding="same", data_format="channels_last", name="stem_pool")
    return stages(each_step(pool, x), arguments, plan)


TWO_EACH = ((2, 1, 1), (2, 2, 2), (2, 4, 2), (2, 8, 2))

STAAResNet18 = factory(
    "STAAResNet18",
    "Spiking ResNet-18 for small images, with spatial-temporal attention.",
    partial(_one_convolution, plan=TWO_EACH),
    input_shape=(32, 32, 3),
    width=64,
    source="the paper's ResNet-18.",
)
STAAResNet19 = factory(
    "STAAResNet19",
    "Spiking ResNet-19, the network of the paper's CIFAR results.",
    partial(_one_convolution, plan=((3, 1, 1), (3, 2, 2), (2, 4, 2))),
    input_shape=(32, 32, 3),
    width=128,
    source="the paper's ResNet-19: CIFAR-10 97.14 %, CIFAR-100 82.05 % (T = 4).",
)
STAAResNet20 = factory(
    "STAAResNet20",
    "Spiking ResNet-20, as the spiking literature names it (11 M parameters).",
    partial(_three_convolutions, plan=TWO_EACH),
    input_shape=(32, 32, 3),
    width=64,
    source="the paper's ResNet-20.",
)
STAAResNet34 = factory(
    "STAAResNet34",
    "Spiking ResNet-34, the network of the paper's ImageNet result.",
    partial(_imagenet_stem, plan=((3, 1, 1), (4, 2, 2), (6, 4, 2), (3, 8, 2))),
    input_shape=(224, 224, 3),
    width=64,
    source="the paper's ResNet-34: ImageNet 70.40 % (T = 4).",
)
