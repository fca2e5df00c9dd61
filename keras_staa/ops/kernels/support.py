"""Whether the equations of a neuron can be part of a kernel."""

import functools

import jax

from keras_staa.ops.threshold import is_hashable

# Operations on numbers of float32 that Pallas has for GPUs, and what holds functions together.
OPERATIONS = {
    *("abs", "neg", "sign", "floor", "ceil", "square", "integer_pow", "pow", "sqrt", "rsqrt"),
    *("exp", "exp2", "expm1", "log", "log1p", "logistic", "sin", "cos", "tan", "tanh", "atan"),
    *("add", "sub", "mul", "div", "max", "min", "clamp", "select_n", "stop_gradient"),
    *("eq", "ne", "lt", "le", "gt", "ge", "and", "or", "not", "convert_element_type"),
    *("broadcast_in_dim", "jit", "pjit", "closed_call", "custom_jvp_call"),
}


def is_supported(dynamics):
    """Whether every operation of a neuron's dynamics exists in kernels.

    Args:
        dynamics: a `keras_staa.ops.Dynamics`.
    """
    return _cached(dynamics) if is_hashable(dynamics) else _cached.__wrapped__(dynamics)


@functools.cache
def _cached(dynamics):
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
        return False
    # A kernel holds numbers, and no arrays that it is not given.
    return (
        not any(getattr(c, "ndim", 0) for c in program.consts)
        and _operations(program.jaxpr) <= OPERATIONS
    )


def _operations(program):
    found = set()
    for equation in program.eqns:
        found.add(equation.primitive.name)
        for value in equation.params.values():
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                found |= _operations(inner)
    return found
