"""Optimizers for training, besides those of Keras."""

import keras

from keras_staa import checks


@keras.saving.register_keras_serializable("keras_staa")
class ScaledSGD(keras.optimizers.SGD):
    """SGD with a factor of the learning rate for some variables.

    Short trainings end better if the offsets of batch normalization (`beta`) learn faster than the
    convolutions.

    Args:
        learning_rate: as in `keras.optimizers.SGD`.
        factors: dictionary from the name of variables, the last part of their path such as
            `"beta"`, to the positive factor of their learning rate.
        **kwargs: as in `keras.optimizers.SGD`. Weight decay has no factor.

    Raises:
        ValueError: if `factors` is not such a dictionary.

    Example:

    >>> optimizer = ScaledSGD(0.1, factors={"beta": 8.0}, momentum=0.9, nesterov=True)

    Source: https://github.com/KellerJordan/cifar10-airbench
    """

    def __init__(self, learning_rate=0.01, factors=None, **kwargs):
        super().__init__(learning_rate, **kwargs)
        if not isinstance(factors, dict | None):
            raise ValueError(
                "`factors` must be a dictionary from names of variables to factors. Received: "
                f"factors={factors!r}"
            )
        self.factors = {
            str(name): checks.positive(f"factors[{name!r}]", factor)
            for name, factor in (factors or {}).items()
        }

    def update_step(self, gradient, variable, learning_rate):
        # TensorFlow hands over its own variable, whose name ends in the number of an output.
        path = getattr(variable, "path", None) or variable.name
        name = path.rsplit("/", 1)[-1].partition(":")[0]
        super().update_step(gradient, variable, learning_rate * self.factors.get(name, 1.0))

    def get_config(self):
        return {**super().get_config(), "factors": self.factors}
