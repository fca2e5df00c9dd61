"""Kernels of this library for GPUs and TPUs, where compilers take more passes over memory.

Those for JAX are written in Pallas, those for PyTorch in Triton. What they compute is what the
functions of `keras_staa.ops` compute elsewhere, which stay the definition: each kernel is tested
against them, and once more on the device, as `keras_staa.ops.kernels.check` says.

With `KERAS_STAA_KERNELS=0` in the environment none is used.
"""

import functools
import importlib
import os

import keras

from keras_staa.ops.kernels import check
from keras_staa.ops.portable import is_portable

DTYPES = ("bfloat16", "float16", "float32")
SWITCH = "KERAS_STAA_KERNELS"
# GPUs of NVIDIA and TPUs.
MACHINES = ("triton", "mosaic")
# Up to this many steps XLA makes one kernel of a forward pass for a GPU.
STEPS_OF_XLA = 4


def of_neuron(dynamics, a):
    """Return for which machines there are kernels of a neuron.

    Args:
        dynamics: a `keras_staa.ops.Dynamics`.
        a: what a call of the neuron gets, as `keras_staa.ops.neuron` has it.

    Returns:
        A dictionary from `"triton"` and `"mosaic"` to functions `forward(dynamics, a)` and
        `backward(dynamics, a, g)`, as attributes of an object.
    """
    held = package().of_neuron(dynamics) if _holds(a.current) else {}
    return check.trusted("neuron", held, a.current)


def left_forward(a):
    """Return the machines on which XLA runs the forward pass of a neuron as well or better.

    A neuron with one step is elementwise, and XLA makes it part of what stands around it: for TPUs
    of convolutions too, which no kernel can be. With more steps it does so for GPUs where the
    current is not in memory anyway, as it is behind an aggregator or batch normalization. Behind an
    aggregator XLA for the A100 takes two passes of one step.

    Args:
        a: as in `of_neuron`.

    Returns:
        A tuple of names, of `MACHINES`.
    """
    if keras.backend.backend() != "jax":
        return ()
    if a.steps == 1:
        return ("mosaic",) if a.gated else MACHINES
    alone = not a.gated and a.scale is None and a.steps <= STEPS_OF_XLA
    return ("triton",) if alone else ()


def left_backward(a):
    """Return the same for the gradient, where on GPUs XLA takes another pass for each sum of it."""
    if keras.backend.backend() != "jax" or a.steps > 1:
        return ()
    return MACHINES if isinstance(a.gain, float) else ("mosaic",)


def of_summaries(x):
    """Return the same of what gates are made of: for GPUs alone.

    Args:
        x: tensor (B, T, H, W, C).
    """
    return check.trusted("summaries", package().of_summaries() if _holds(x) else {}, x)


def wanted(compiled):
    """Whether kernels are to be used: on PyTorch where `keras_staa.jit_compile` asks for them.

    Args:
        compiled: boolean, whether it does.
    """
    return compiled or keras.backend.backend() != "torch"


def form(name, kernel, plain):
    """Return a kernel as what a machine runs in the place of a plain form.

    Args:
        name: string, of `MACHINES`.
        kernel, plain: functions of the same tensors.
    """
    if name != "mosaic":
        return kernel
    from keras_staa.ops.kernels.pallas import partition

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
    if keras.backend.standardize_dtype(x.dtype) not in DTYPES:
        return False
    # What is exported runs where there are no kernels.
    if is_portable() or os.environ.get(SWITCH) == "0":
        return False
    return _HOLDS[keras.backend.backend()](x) and not check.is_running()


def _jax_holds(x):
    # Sizes may be unknown when a function is exported.
    return _has_pallas() and all(isinstance(size, int) and size > 0 for size in x.shape)


def _torch_holds(x):
    import torch

    # `torch.compile` writes kernels of its own.
    if not x.is_cuda or torch.version.cuda is None or torch.compiler.is_compiling():
        return False
    return _has_triton() and x.numel() > 0


_HOLDS = {"jax": _jax_holds, "tensorflow": lambda x: False, "torch": _torch_holds}


@functools.cache
def _has_pallas():
    """Whether this version of JAX has what the kernels are written with."""
    try:
        from jax.experimental.pallas import tpu, triton
    except ImportError:
        return False
    found = hasattr(tpu, "CompilerParams")
    return found and all(hasattr(triton, name) for name in ("CompilerParams", "load", "store"))


@functools.cache
def _has_triton():
    """Whether the version of Triton that PyTorch comes with has what the kernels need."""
    try:
        import triton
    except ImportError:
        return False
    # Loops that carry tuples.
    return tuple(int(n) for n in triton.__version__.split(".")[:2]) >= (3, 3)


def package():
    """Return the module of the kernels of this backend."""
    # Pallas and Triton take a second to import.
    name = {"jax": "pallas", "torch": "torch"}[keras.backend.backend()]
    return importlib.import_module(f"keras_staa.ops.kernels.{name}")
