"""Residual networks of the paper."""

from keras import layers

from keras_staa import checks
from keras_staa.layers.pooling import MaxPooling2D
from keras_staa.models.argument import FIXED, Argument
from keras_staa.models.blocks import average_pool, convolution, each_step, padded, spikes, stem
from keras_staa.models.registry import register

PADDING = Argument(
    name="padding",
    default="same",
    text='of strided convolutions: `"same"` (as in TensorFlow) or `"symmetric"` (as in PyTorch), '
    "for weights that were trained there.",
    check=lambda name, value: checks.choice(name, value, ("same", "symmetric")),
    in_presets=FIXED,
)
TWO_EACH = ((2, 1, 1), (2, 2, 2), (2, 4, 2), (2, 8, 2))


def block(x, filters, strides, arguments, name, pooled_shortcut=False):
    """Add a basic block. The shortcut is added to the current, so every spike stays 0 or 1."""
    shortcut = x
    if strides != 1 or x.shape[-1] != filters:
        stride = strides
        if pooled_shortcut and strides != 1:
            shortcut, stride = average_pool(shortcut, f"{name}_shortcut_pool"), 1
        shortcut = convolution(shortcut, filters, 1, stride, f"{name}_shortcut")
    x = convolution(x, filters, 3, strides, f"{name}_1", padding=arguments.padding)
    x = spikes(x, arguments, f"{name}_1")
    x = convolution(x, filters, 3, 1, f"{name}_2")
    x = layers.Add(name=f"{name}_add")([x, shortcut])
    return spikes(x, arguments, f"{name}_2")


def stages(x, arguments, plan, pooled_shortcut=False):
    """Return the outputs of the blocks of each stage.

    Args:
        x: Keras tensor of spikes.
        arguments: of the network.
        plan: for each stage (blocks, channels over width, strides of the first block).
        pooled_shortcut: whether a shortcut of another size takes the mean of places.
    """
    found = {}
    for number, (blocks, factor, strides) in enumerate(plan, start=1):
        ends = found[f"stage{number}"] = []
        for index in range(blocks):
            name = f"stage{number}_block{index + 1}"
            stride = strides if index == 0 else 1
            x = block(x, arguments.width * factor, stride, arguments, name, pooled_shortcut)
            ends.append(x)
    return found


def small_images(x, arguments, plan):
    """Return a stem of one convolution, which keeps the size."""
    x = stem(x, arguments.width, 3, 1, arguments)
    return {"stem": [x], **stages(x, arguments, plan)}


@register(input_shape=(32, 32, 3), width=64, source="the paper's ResNet-18.", arguments=[PADDING])
def STAAResNet18(x, arguments):
    """Spiking ResNet-18 for small images, with spatial-temporal attention."""
    return small_images(x, arguments, TWO_EACH)


@register(
    input_shape=(32, 32, 3),
    width=128,
    source="the paper's ResNet-19: CIFAR-10 97.14 %, CIFAR-100 82.05 % (T = 4).",
    arguments=[PADDING],
)
def STAAResNet19(x, arguments):
    """Spiking ResNet-19, the network of the paper's CIFAR results."""
    return small_images(x, arguments, ((3, 1, 1), (3, 2, 2), (2, 4, 2)))


@register(input_shape=(32, 32, 3), width=64, source="the paper's ResNet-20.", arguments=[PADDING])
def STAAResNet20(x, arguments):
    """Spiking ResNet-20, as the spiking literature names it (11 M parameters)."""
    ends = [stem(x, arguments.width, 3, 1, arguments, "stem_1")]
    x = ends[0]
    for name in ("stem_2", "stem_3"):
        x = convolution(x, arguments.width, 3, 1, name)
        x = spikes(x, arguments, name, attention=False)
    x = average_pool(x, "stem_pool")
    return {"stem": [*ends, x], **stages(x, arguments, TWO_EACH, pooled_shortcut=True)}


@register(
    input_shape=(224, 224, 3),
    width=64,
    source="the paper's ResNet-34: ImageNet 70.40 % (T = 4).",
    arguments=[PADDING],
)
def STAAResNet34(x, arguments):
    """Spiking ResNet-34, the network of the paper's ImageNet result."""
    x = stem(x, arguments.width, 7, 2, arguments)
    ends = [x]
    x, padding = padded(x, 3, 2, arguments.padding, "stem_pool")
    pool = MaxPooling2D(
        3, strides=2, padding=padding, data_format="channels_last", name="stem_pool"
    )
    plan = ((3, 1, 1), (4, 2, 2), (6, 4, 2), (3, 8, 2))
    return {"stem": ends, **stages(each_step(pool, x), arguments, plan)}
