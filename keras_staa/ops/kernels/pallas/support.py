"""Whether the equations of a neuron can be part of a kernel."""

import functools

import jax

from keras_staa.ops.threshold import is_hashable

# Operations on numbers of float32 that Pallas has, and what holds functions together.
OPERATIONS = {
    *("abs", "neg", "sign", "floor", "ceil", "square", "integer_pow", "pow", "sqrt", "rsqrt"),
    *("exp", "exp2", "expm1", "log", "log1p", "logistic", "sin", "cos", "tan", "tanh", "atan"),
    *("add", "sub", "mul", "div", "max", "min", "clamp", "select_n", "stop_gradient"),
    *("eq", "ne", "lt", "le", "gt", "ge", "and", "or", "not", "convert_element_type"),
    *("broadcast_in_dim", "jit", "pjit", "closed_call", "custom_jvp_call"),
}

MISSING = {"triton": set(), "mosaic": {"atan", "expm1"}}


def is_supported(dynamics, machine):
    """Whether every operation of a neuron's dynamics exists in kernels.

    Args:
        dynamics: a `keras_staa.ops.Dynamics`.
        machine: string, a key of `MISSING`.
    """
    found = _cached(dynamics) if is_hashable(dynamics) else _cached.__wrapped__(dynamics)
    return found is not None and found <= OPERATIONS - MISSING[machine]


@functools.cache
def _cached(dynamics):
    """Return the names of its operations, or None where it holds what no kernel can."""

    def step(g, dh, v):
        s = dynamics.fired(v)
        last = dynamics.potential_gradient(g, None, v, s)
        return (
            dynamics.spikes(v, s),
            dynamics.after(v, s),
            last,
            dynamics.potential_gradient(g, dh, v, s),
        )

    block = jax.ShapeDtypeStruct((8, 16), "float32")
    try:
        program = jax.make_jaxpr(step)(block, block, block)
    except Exception:
        # What cannot be traced here fails where it is called, with its own message.
        return None
    # A kernel holds numbers, and no arrays that it is not given.
    arrays = any(getattr(c, "ndim", 0) for c in program.consts)
    return None if arrays else _operations(program.jaxpr)


def _operations(program):
    found = set()
    for equation in program.eqns:
        found.add(equation.primitive.name)
        for value in equation.params.values():
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                found |= _operations(inner)
    return found
