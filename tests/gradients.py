"""Values and gradients of a function of arrays, on whichever backend is active."""

import keras
import numpy as np
from keras import ops


def gradients(function, arrays, cotangent):
    """`function(*arrays)` and the gradients of `sum(function * cotangent)`, as NumPy arrays."""
    tensors = [ops.convert_to_tensor(np.asarray(a, "float32")) for a in arrays]
    weight = ops.convert_to_tensor(np.asarray(cotangent, "float32"))
    output, grads = _BACKENDS[keras.backend.backend()](function, tensors, weight)
    return ops.convert_to_numpy(output), [ops.convert_to_numpy(g) for g in grads]


def _jax(function, tensors, weight):
    import jax

    # Compiled as one program: operation by operation takes twenty times as long.
    def run(weight, *tensors):
        output, pull = jax.vjp(function, *tensors)
        return output, pull(weight)

    return jax.jit(run)(weight, *tensors)


def _tensorflow(function, tensors, weight):
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(tensors)
        output = function(*tensors)
    return output, tape.gradient(output, tensors, output_gradients=weight)


def _torch(function, tensors, weight):
    import torch

    tensors = [t.detach().requires_grad_() for t in tensors]
    output = function(*tensors)
    return output.detach(), torch.autograd.grad(output, tensors, weight)


_BACKENDS = {"jax": _jax, "tensorflow": _tensorflow, "torch": _torch}
