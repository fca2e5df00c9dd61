"""Training with a teacher, by `fit`."""

from keras import ops

from keras_staa import checks
from keras_staa.losses import TET, Distillation
from keras_staa.training.augmented import Augmented


class Distiller(Augmented):
    """A network that learns from labels and from a teacher.

    The loss is `(1 - weight) * loss of the labels + weight * Distillation` of the teacher's logits
    for the same batch, augmentation included. In inference it is the network alone. A loss of
    Keras gets the mean of the logits over the steps, `keras_staa.losses.TET` those of each step.

    Args:
        network: a network with `step_logits=True`.
        teacher: a `keras.Model` with logits (B, classes) or (B, T, classes). It is not trained.
        temperature: positive float, see `keras_staa.losses.Distillation`.
        weight: float in [0, 1].
        layers: list of Keras layers, see `keras_staa.training.Augmented`.

    Example:

    >>> import keras_staa
    >>> network = keras_staa.STAAVGG(width=4, steps=2, step_logits=True)
    >>> inputs = keras.Input((32, 32, 3))
    >>> logits = keras.layers.Dense(10)(keras.layers.Flatten()(inputs))
    >>> model = Distiller(network, keras.Model(inputs, logits))
    >>> model.compile("sgd", keras.losses.CategoricalCrossentropy(from_logits=True))
    """

    def __init__(self, network, teacher, temperature=3.0, weight=0.9, layers=(), **kwargs):
        super().__init__(network, layers, **kwargs)
        if len(network.output_shape) != 3:
            raise ValueError(
                "`network` must have the logits of each step as output (step_logits=True). "
                f"Received: output_shape={network.output_shape}"
            )
        if network.output_shape[-1] != teacher.output_shape[-1]:
            raise ValueError(
                f"`teacher` must have {network.output_shape[-1]} classes, as the network has. "
                f"Received: output_shape={teacher.output_shape}"
            )
        self.teacher = teacher
        self.teacher.trainable = False
        self.distillation = Distillation(temperature)
        self.weight = checks.fraction("weight", weight)

    def loss_of(self, images, labels, logits, sample_weight, training):
        of_steps = isinstance(self.loss, TET)
        output = logits if of_steps else ops.mean(logits, axis=1)
        by_labels = super().loss_of(images, labels, output, sample_weight, training)
        if not training:
            return by_labels
        soft = self.teacher(images, training=False)
        if len(soft.shape) == 3:
            soft = ops.mean(soft, axis=1)
        by_teacher = self.distillation(
            ops.cast(soft, "float32"), ops.cast(logits, "float32"), sample_weight
        )
        return (1 - self.weight) * by_labels + self.weight * by_teacher
