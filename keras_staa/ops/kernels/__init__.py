"""Kernels of this library for GPUs, where compilers take more passes over memory.

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


def of_neuron(dynamics, a):
    """Return the module with the kernels of a neuron, or None where there are none.

    Args:
        dynamics: a `keras_staa.ops.Dynamics`.
        a: what a call of the neuron gets, as `keras_staa.ops.neuron` has it.
    """
    if not _holds(a.current):
        return None
    from keras_staa.ops.kernels import support

    return _module("neuron") if support.is_supported(dynamics) else None


def of_summaries(x):
    """Return the module with the kernels of what gates are made of, or None.

    Args:
        x: tensor (B, T, H, W, C).
    """
    return _module("summaries") if _holds(x) else None


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
        from jax.experimental.pallas import triton
    except ImportError:
        return False
    return all(hasattr(triton, name) for name in ("CompilerParams", "load", "store"))


def _module(name):
    # Pallas takes a second to import.
    return importlib.import_module(f"keras_staa.ops.kernels.{name}")
