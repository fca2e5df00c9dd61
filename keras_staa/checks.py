"""Checks of arguments, with errors that name the argument, what came and what is allowed."""

import math
import numbers


def _reject(name, value, allowed):
    raise ValueError(f"`{name}` must be {allowed}. Received: {name}={value!r}")


def is_positive_int(value):
    """Whether `value` is an integer of 1 or more, Python's or NumPy's, and no bool."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and value > 0


def positive_int(name, value):
    """`value` as an int of 1 or more."""
    if not is_positive_int(value):
        _reject(name, value, "a positive integer")
    return int(value)


def non_negative_int(name, value):
    """`value` as an int of 0 or more."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < 0:
        _reject(name, value, "a non-negative integer")
    return int(value)


def pair(name, value):
    """`value`, an integer for both or (height, width), as two positive integers; None stays."""
    if value is None:
        return None
    sides = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(sides) != 2:
        _reject(name, value, "an integer or (height, width)")
    return tuple(positive_int(name, side) for side in sides)


def positive(name, value):
    """`value` as a finite float above 0."""
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not real or not 0 < value < math.inf:
        _reject(name, value, "a positive number")
    return float(value)


def fraction(name, value, below_one=False):
    """`value` as a float in [0, 1], or in [0, 1)."""
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not real or not 0 <= value <= 1 or (below_one and value == 1):
        _reject(name, value, f"a number in [0, 1{')' if below_one else ']'}")
    return float(value)


def bounds(name, value, least=-math.inf, most=math.inf):
    """`value`, two finite numbers in order, as floats in [least, most]."""
    numeric = isinstance(value, (tuple, list)) and len(value) == 2
    numeric = numeric and all(
        isinstance(each, numbers.Real) and not isinstance(each, bool) and math.isfinite(each)
        for each in value
    )
    if not numeric or not least <= value[0] <= value[1] <= most:
        limits = f"{'' if least == -math.inf else f'{least:g} <= '}low <= high"
        limits += "" if most == math.inf else f" <= {most:g}"
        _reject(name, value, f"two numbers, {limits}")
    return tuple(map(float, value))


def boolean(name, value):
    """`value` as a bool."""
    if not isinstance(value, bool):
        _reject(name, value, "True or False")
    return value


def choice(name, value, allowed):
    """`value`, if it is one of `allowed`."""
    if value not in allowed:
        _reject(name, value, f"one of {list(allowed)}")
    return value


def choice_each(name, values, allowed):
    """`values`, if each of them is one of `allowed`."""
    for value in values:
        choice(name, value, allowed)
    return values


def input_shape(layer, shape, axes, hint=""):
    """Check the rank of an input and that the named axes have a static size.

    Args:
        layer: the layer that is built, for its name in the error.
        shape: the input's shape.
        axes: names of the axes, those in capitals required to be static, such as `"bTHWC"`; a
            trailing `"..."` allows further axes.
        hint: what the error says of a way out.
    """
    names = axes.removesuffix("...")
    more = names != axes
    if len(shape) < len(names) or (len(shape) > len(names) and not more):
        wanted = f"at least {len(names)}" if more else str(len(names))
        raise ValueError(
            f"Input of layer '{layer.name}' must have rank {wanted} "
            f"({', '.join(n.upper() for n in names)}{', ...' if more else ''}). "
            f"Received: input_shape={tuple(shape)}"
        )
    for name, size in zip(names, shape, strict=False):
        if name.isupper() and size is None:
            raise ValueError(
                f"Input of layer '{layer.name}' must have a static size on axis {name} of "
                f"({', '.join(n.upper() for n in names)}).{hint and ' ' + hint} "
                f"Received: input_shape={tuple(shape)}"
            )
