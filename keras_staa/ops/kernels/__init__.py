"""Kernels of this library for GPUs and TPUs, where compilers take more passes over memory.

They are written in Pallas, for JAX. What they compute is what the functions of `keras_staa.ops`
compute elsewhere, which stay the definition: each kernel is tested against them.

With `KERAS_STAA_KERNELS=0` in the environment none is used.
"""

import functools
import importlib
import os

import keras

from keras_staa.ops.portable import is_portable

DTYPES = ("bfloat16", "float16", "float32")
SWITCH = "KERAS_STAA_KERNELS"
# GPUs of NVIDIA and TPUs.
MACHINES = ("triton", "mosaic")


def of_neuron(dynamics, a):
    """Return for which machines there are kernels of a neuron.

    Args:
        dynamics: a `keras_staa.ops.Dynamics`.
        a: what a call of the neuron gets, as `keras_staa.ops.neuron` has it.

    Returns:
        A dictionary from `"triton"` and `"mosaic"` to functions `forward(dynamics, a)` and
        `backward(dynamics, a, g)`, as attributes of an object.
    """
    if not _holds(a.current):
        return {}
    from keras_staa.ops.kernels import neuron, support

    machines = {name: _module(name) for name in MACHINES if support.is_supported(dynamics, name)}
    return {name: Kernels(neuron, machine) for name, machine in machines.items()}


def of_summaries(x):
    """Return the same of what gates are made of: a module, for GPUs alone.

    Args:
        x: tensor (B, T, H, W, C).
    """
    return {"triton": _module("summaries")} if _holds(x) else {}


class Kernels:
    """The kernels of a module for a machine."""

    def __init__(self, module, machine):
        self.forward = functools.partial(module.forward, machine=machine)
        self.backward = functools.partial(module.backward, machine=machine)


def form(name, kernel, plain):
    """Return a kernel as what a machine runs in the place of a plain form.

    Args:
        name: string, of `MACHINES`.
        kernel, plain: functions of the same tensors.
    """
    if name != "mosaic":
        return kernel
    from keras_staa.ops.kernels import partition

    return partition.on_one_device(kernel, plain)


def shared(function):
    """Return a function that equal calls trace once, as those of equal layers are.

    Args:
        function: function of tensors that calls kernels.
    """
    if keras.backend.backend() != "jax":
        return function
    import jax

    return jax.jit(function)


def _holds(x):
    if keras.backend.backend() != "jax" or keras.backend.standardize_dtype(x.dtype) not in DTYPES:
        return False
    # What is exported runs where there are no kernels.
    if is_portable() or os.environ.get(SWITCH) == "0" or not _has_pallas():
        return False
    # Sizes may be unknown when a function is exported.
    return all(isinstance(size, int) and size > 0 for size in x.shape)


@functools.cache
def _has_pallas():
    """Whether this version of JAX has what the kernels are written with."""
    try:
        from jax.experimental.pallas import tpu, triton
    except ImportError:
        return False
    found = hasattr(tpu, "CompilerParams")
    return found and all(hasattr(triton, name) for name in ("CompilerParams", "load", "store"))


def _module(name):
    # Pallas takes a second to import.
    return importlib.import_module(f"keras_staa.ops.kernels.{name}")
