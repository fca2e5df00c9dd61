"""The equations of a neuron as functions of Triton, made of the operations that PyTorch records."""

import functools
import hashlib
import linecache
import math
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch.fx.experimental.proxy_tensor import make_fx

from keras_staa.ops.portable import portable
from keras_staa.ops.threshold import is_hashable

_MAXIMUM = "tl.maximum({0}, {1}, propagate_nan=tl.PropagateNan.ALL)"
_MINIMUM = "tl.minimum({0}, {1}, propagate_nan=tl.PropagateNan.ALL)"
# Operations on numbers of float32 that kernels have, by PyTorch's names.
OPERATIONS = {
    "abs": "tl.abs({0})",
    "add": "({0} + {1})",
    "ceil": "tl.ceil({0})",
    "clamp_max": _MINIMUM,
    "clamp_min": _MAXIMUM,
    "cos": "tl.cos({0})",
    "div": "tl.div_rn({0}, {1})",
    "eq": "({0} == {1})",
    "erf": "tl.erf({0})",
    "exp": "tl.exp({0})",
    "exp2": "tl.exp2({0})",
    "floor": "tl.floor({0})",
    "ge": "({0} >= {1})",
    "gt": "({0} > {1})",
    "le": "({0} <= {1})",
    "log": "tl.log({0})",
    "log2": "tl.log2({0})",
    "logical_and": "({0} & {1})",
    "logical_not": "({0} == 0)",
    "logical_or": "({0} | {1})",
    "lt": "({0} < {1})",
    "maximum": _MAXIMUM,
    "minimum": _MINIMUM,
    "mul": "({0} * {1})",
    "ne": "({0} != {1})",
    "neg": "(-{0})",
    "reciprocal": "tl.div_rn(1.0, {0})",
    "relu": _MAXIMUM.format("{0}", "0.0"),
    "rsqrt": "tl.div_rn(1.0, tl.sqrt_rn({0}))",
    "rsub": "({1} - {0})",
    "sigmoid": "tl.sigmoid({0})",
    "sign": "(({0} > 0).to(tl.float32) - ({0} < 0).to(tl.float32))",
    "sin": "tl.sin({0})",
    "sqrt": "tl.sqrt_rn({0})",
    "square": "({0} * {0})",
    "sub": "({0} - {1})",
    "tanh": "(2.0 * tl.sigmoid(2.0 * {0}) - 1.0)",
    "where": "tl.where({0}, {1}, {2})",
}
SAME = ("alias", "clone", "detach", "lift_fresh", "lift_fresh_copy")
FILLED = {"zeros_like": 0.0, "ones_like": 1.0}


class Equations(NamedTuple):
    """The functions of a `keras_staa.ops.Dynamics`, for kernels."""

    fired: Any
    spikes: Any
    after: Any
    # The gradient of the potential in the last step, (g, v, s), and before, (g, dh, v, s).
    last: Any
    before: Any


class _Missing(Exception):
    """Something that no kernel has."""


def translated(dynamics):
    """Return the `Equations` of a neuron, or None where a kernel cannot hold them.

    Args:
        dynamics: a `keras_staa.ops.Dynamics`.
    """
    return (_translated if is_hashable(dynamics) else _translated.__wrapped__)(dynamics)


@functools.cache
def _translated(dynamics):
    functions = {
        "fired": (dynamics.fired, ("v",)),
        "spikes": (dynamics.spikes, ("v", "s")),
        "after": (dynamics.after, ("v", "s")),
        "last": (lambda g, v, s: dynamics.potential_gradient(g, None, v, s), ("g", "v", "s")),
        "before": (dynamics.potential_gradient, ("g", "dh", "v", "s")),
    }
    try:
        # A threshold by comparison: arithmetic that is exact on a CPU need not be so on a GPU.
        with portable():
            texts = {name: _body(*pair) for name, pair in functions.items()}
    except Exception:
        # What cannot be traced here fails where it is called, with its own message.
        return None
    return Equations(**{name: _function(name, text) for name, text in texts.items()})


def _body(function, names):
    """Return the text of a function of Triton behind its name."""
    block = torch.zeros(3, dtype=torch.float32)
    with torch.no_grad(), torch.device("cpu"):
        program = make_fx(lambda *given: function(*given))(*[block.clone() for _ in names])
    lines, known, given = [f"({', '.join(names)}):"], {}, iter(names)
    for node in program.graph.nodes:
        if node.op == "placeholder":
            known[node] = next(given)
        elif node.op == "get_attr":
            known[node] = _number(getattr(program, node.target))
        elif node.op == "output":
            (found,) = node.args
            lines.append(f"    return {_tensor(known[found], names)}")
        else:
            text, known[node] = _expression(node, known), f"x{len(known)}"
            if _is_number(text):
                known[node] = text
            else:
                lines.append(f"    {known[node]} = {text}")
    return "\n".join(lines) + "\n"


def _expression(node, known):
    name = str(node.target).split(".")[1]
    values = [_value(argument, known) for argument in node.args]
    if name in SAME:
        return values[0]
    if name == "_to_copy":
        return _cast(values[0], node)
    if name in FILLED:
        return repr(FILLED[name])
    if name in ("full_like", "full", "scalar_tensor"):
        return values[-1]
    if name == "pow":
        return _power(values[0], node.args[1])
    if name == "clamp":
        low, high = (*values[1:], "None")[:2]
        found = values[0] if low == "None" else _MAXIMUM.format(values[0], low)
        return found if high == "None" else _MINIMUM.format(found, high)
    if name not in OPERATIONS or node.kwargs:
        raise _Missing(name)
    return OPERATIONS[name].format(*values)


def _value(argument, known):
    if isinstance(argument, torch.fx.Node):
        return known[argument]
    if isinstance(argument, bool) or argument is None or isinstance(argument, list | tuple):
        return str(argument)
    return _number(argument)


def _number(value):
    """Return the text of a number, or of a tensor of one."""
    if getattr(value, "ndim", 0):
        raise _Missing("A kernel holds numbers, and no tensors that it is not given.")
    value = float(value)
    if not math.isfinite(value):
        raise _Missing(value)
    return repr(value)


def _cast(value, node):
    if node.kwargs.get("dtype", torch.float32) is not torch.float32:
        raise _Missing(node.kwargs)
    return value if _is_number(value) else f"{value}.to(tl.float32)"


def _power(value, exponent):
    if exponent in (1, 2, 3, 4):
        return "(" + " * ".join([value] * int(exponent)) + ")"
    if exponent == 0.5:
        return OPERATIONS["sqrt"].format(value)
    raise _Missing(exponent)


def _is_number(text):
    return text[0] in "-0123456789"


def _tensor(text, names):
    """Return a result in the shape of the arguments."""
    return f"{text} + tl.zeros_like({names[-1]})" if _is_number(text) else text


def _function(name, text):
    """Return a function of Triton of a text. Triton reads the text by the name of its file."""
    # Triton tells functions apart by their names.
    name = f"{name}_{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    file, text = f"<equations of keras_staa: {name}>", f"def {name}{text}"
    linecache.cache[file] = len(text), None, text.splitlines(keepends=True), file
    scope = {"tl": tl, "__name__": __name__}
    exec(compile(text, file, "exec"), scope)
    return triton.jit(scope[name])
