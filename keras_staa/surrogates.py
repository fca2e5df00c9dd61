"""Surrogate gradients: what stands in for the derivative of a spike, which is zero or undefined.

Each is an object that maps `u`, the membrane potential minus the threshold, to dS/du, and whose
integral over u is 1. Any other callable u -> dS/du, written in `keras.ops`, serves as well; to
store a network that uses it, register it with `keras.saving.register_keras_serializable`.
"""

import math

import keras
from keras import ops

from keras_staa import checks, serialized


class _Surrogate:
    """One parameter, kept for serialization; subclasses give the formula.

    It cannot be changed: neurons share what is compiled for equal surrogates.
    """

    parameter = "slope"

    def __init__(self, value):
        object.__setattr__(self, self.parameter, checks.positive(self.parameter, value))

    def __setattr__(self, name, value):
        raise AttributeError(
            f"`{name}` of a surrogate cannot be set; give the layer another surrogate, as in "
            f"`layer.surrogate = {type(self).__name__}({self.parameter}=...)`. "
            f"Received: {name}={value!r}"
        )

    def __delattr__(self, name):
        raise AttributeError(f"`{name}` of a surrogate cannot be deleted.")

    def get_config(self):
        return {self.parameter: getattr(self, self.parameter)}

    @classmethod
    def from_config(cls, config):
        return cls(**config)

    def __eq__(self, other):
        return type(self) is type(other) and self.get_config() == other.get_config()

    def __hash__(self):
        return hash((type(self), *self.get_config().values()))

    def __repr__(self):
        return f"{type(self).__name__}({self.parameter}={getattr(self, self.parameter)})"


@keras.saving.register_keras_serializable("keras_staa")
class Rectangular(_Surrogate):
    """`1/width where |u| < width/2, else 0`: the surrogate of the paper, with width 1.

    Args:
        width: positive float.

    Example:

    >>> float(Rectangular(width=2.0)(0.5))
    0.5
    """

    parameter = "width"

    def __init__(self, width=1.0):
        super().__init__(width)

    def __call__(self, u):
        inside = ops.cast(ops.abs(u) < self.width / 2, "float32")
        return inside if self.width == 1.0 else inside / self.width


@keras.saving.register_keras_serializable("keras_staa")
class Triangular(_Surrogate):
    """`max(0, 1 - |u|/width) / width`.

    Args:
        width: positive float, half the base of the triangle.

    Example:

    >>> float(Triangular(width=2.0)(0.5))
    0.375
    """

    parameter = "width"

    def __init__(self, width=1.0):
        super().__init__(width)

    def __call__(self, u):
        return ops.maximum(1.0 - ops.abs(u) / self.width, 0.0) / self.width


@keras.saving.register_keras_serializable("keras_staa")
class Sigmoid(_Surrogate):
    """`slope * s * (1 - s)` with `s = sigmoid(slope * u)`.

    Args:
        slope: positive float.

    Example:

    >>> float(Sigmoid(slope=2.0)(0.0))
    0.5
    """

    def __init__(self, slope=4.0):
        super().__init__(slope)

    def __call__(self, u):
        s = ops.sigmoid(self.slope * u)
        return self.slope * s * (1.0 - s)


@keras.saving.register_keras_serializable("keras_staa")
class Arctan(_Surrogate):
    """`(slope / 2) / (1 + (pi/2 * slope * u)**2)`.

    Args:
        slope: positive float.

    Example:

    >>> float(Arctan(slope=3.0)(0.0))
    1.5
    """

    def __init__(self, slope=2.0):
        super().__init__(slope)

    def __call__(self, u):
        return (self.slope / 2) / (1.0 + ops.square((math.pi / 2 * self.slope) * u))


SURROGATES = {
    "rectangular": Rectangular,
    "triangular": Triangular,
    "sigmoid": Sigmoid,
    "arctan": Arctan,
}


def get(surrogate):
    """Return the surrogate of a name, a serialized form or a callable.

    Args:
        surrogate: one of `"rectangular"`, `"triangular"`, `"sigmoid"`, `"arctan"`, an object of
            this module, any callable u -> dS/du, or what `serialize` made of one of them.

    Returns:
        A callable u -> dS/du.

    Raises:
        ValueError: for an unknown name or something that cannot be called.

    Example:

    >>> get("sigmoid")
    Sigmoid(slope=4.0)
    """
    if isinstance(surrogate, str) and surrogate in SURROGATES:
        return SURROGATES[surrogate]()
    surrogate = serialized.make("surrogate", surrogate, registered=True)
    if callable(surrogate):
        return surrogate
    raise ValueError(
        f"`surrogate` must be one of {sorted(SURROGATES)} or a callable u -> dS/du. "
        f"Received: surrogate={surrogate!r}"
    )


def serialize(surrogate):
    """Return the JSON form of a surrogate, which `get` turns back.

    Args:
        surrogate: a callable that `get` accepts.

    Returns:
        What `json.dumps` takes.

    Example:

    >>> get(serialize(Triangular(width=2.0)))
    Triangular(width=2.0)
    """
    return keras.saving.serialize_keras_object(surrogate)
