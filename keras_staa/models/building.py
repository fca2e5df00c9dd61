"""A network around its body: input, normalization, read-out."""

import keras
from keras import layers

from keras_staa import _keras
from keras_staa.initializers import ZEROS, VarianceScaling
from keras_staa.layers import MeanOverSteps
from keras_staa.layers.pooling import GlobalMaxPooling2D
from keras_staa.models.argument import ABSENT
from keras_staa.models.blocks import each_step, precise
from keras_staa.models.format import FORMAT
from keras_staa.models.network import Network


def build(factory, body, table, arguments, trained=False, class_names=None):
    """Make a network of random weights.

    Args:
        factory: string, the name of its factory.
        body: function `(x, arguments) -> stages`; see `keras_staa.models.register`.
        table: tuple of `Argument`.
        arguments: `Arguments`, checked.
        trained: whether the network is to get weights that were trained on images in [0, 1].
        class_names: list of strings or None.

    Returns:
        A `Network`.
    """
    inputs = arguments.input_tensor
    if inputs is None:
        inputs = keras.Input(arguments.input_shape, name="input")
    elif not keras.backend.is_keras_tensor(inputs):
        inputs = keras.Input(tensor=inputs, name="input")
    x = inputs
    if arguments.normalization:
        means, deviations = zip(*arguments.normalization, strict=True)
        x = layers.Normalization(
            mean=means,
            variance=[d * d for d in deviations],
            dtype=precise(),
            name="normalization",
        )(x)
    stages = body(x, arguments)
    outputs = _head(list(stages.values())[-1][-1], arguments)
    if arguments.input_tensor is not None:
        inputs = keras.utils.get_source_inputs(arguments.input_tensor)
    kept = {a.name: getattr(arguments, a.name) for a in table if a.in_presets != ABSENT}
    return Network(
        inputs,
        outputs,
        name=arguments.name or factory,
        factory=factory,
        arguments=kept,
        stages={name: [_keras.made_by(x).name for x in ends] for name, ends in stages.items()},
        remat=arguments.remat,
        class_names=class_names if arguments.include_top else None,
        unit_range=_takes_zero_to_one(arguments, trained),
        format=FORMAT,
    )


def _takes_zero_to_one(arguments, trained):
    if arguments.frames or arguments.input_tensor is not None:
        return False
    # Random weights without a normalization learn from images on any scale.
    pairs = arguments.normalization
    return all(0 <= mean <= 1 for mean, _ in pairs) if pairs else trained


def _head(x, arguments):
    # The read-out is float32 under mixed precision: probabilities of bfloat16 have two digits.
    exact = {"dtype": precise()}
    if arguments.include_top or arguments.pooling == "avg":
        x = each_step(layers.GlobalAveragePooling2D("channels_last", name="average_pool"), x)
    elif arguments.pooling == "max":
        x = each_step(GlobalMaxPooling2D("channels_last", name="max_pool"), x)
    if not arguments.include_top:
        return MeanOverSteps(name="mean_over_steps", **exact)(x) if arguments.pooling else x
    x = layers.Dense(
        arguments.classes,
        kernel_initializer=VarianceScaling(1.0, "fan_in", "untruncated_normal"),
        bias_initializer=ZEROS,
        name="predictions",
        **exact,
    )(x)
    if arguments.step_logits:
        return x
    x = MeanOverSteps(name="mean_over_steps", **exact)(x)
    if arguments.classifier_activation is None:
        return x
    return layers.Activation(arguments.classifier_activation, name="probabilities", **exact)(x)
