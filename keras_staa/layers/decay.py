"""Which weights an optimizer's weight decay leaves alone."""

from keras_staa import _keras
from keras_staa.layers.steps import flatten_layers

# How the names of such weights end in layers that declare nothing, such as Keras's own.
_NAMES = ("bias", "gamma", "beta")


def undecayed_weights(model):
    """Return the weights that should have no weight decay.

    Decay pulls weights to zero. That is meant for kernels of convolutions and of dense layers, not
    for biases, the scale and shift of a normalization, the coefficients of neurons, position
    encodings and gates: with decay, a gate becomes a constant. A layer declares such
    weights as its property `undecayed_weights`, a list of variables. Of other layers these are the
    weights whose name ends in `bias`, `gamma` or `beta`.

    Args:
        model: a `keras.Model` or a layer that is built.

    Returns:
        A list of variables, for `keras.optimizers.Optimizer.exclude_from_weight_decay`.

    Example:

    >>> import keras, keras_staa
    >>> model = keras_staa.STAAVGG(width=4, steps=2)
    >>> optimizer = keras.optimizers.SGD(0.1, weight_decay=1e-4)
    >>> optimizer.exclude_from_weight_decay(var_list=undecayed_weights(model))
    """
    found = {}
    for layer in flatten_layers(model):
        declared = getattr(layer, "undecayed_weights", None)
        if declared is None:
            own = _keras.trainable_even_if_frozen(layer)
            declared = [weight for weight in own if weight.name.endswith(_NAMES)]
        found |= {id(weight): weight for weight in declared}
    return list(found.values())
