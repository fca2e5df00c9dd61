"""Recomputation in the backward pass: one contract, the backends' own mechanisms side by side."""

import keras

from keras_staa.ops.sums import xla_on_cpu


def recomputed(function):
    """Keep only the inputs of a function for its gradient, and compute the rest again.

    Args:
        function: `(trainable, fixed, inputs) -> (output, after)`: lists of tensors, a tensor; a
            tensor, a list of tensors. The gradient goes through `output` to `trainable` and
            `inputs`.

    Returns:
        A function of the same arguments and results.

    Example:

    >>> square = recomputed(lambda trainable, fixed, x: (x * x, fixed))
    >>> float(square([], [], keras.ops.ones(()) * 3.0)[0])
    9.0
    """
    return _WRAPPERS[keras.backend.backend()](function)


def _jax(function):
    import jax

    def forward(trainable, fixed, inputs):
        return function(trainable, fixed, inputs), (trainable, fixed, inputs)

    def backward(arguments, gradients):
        (trainable, fixed, inputs), g = jax.lax.optimization_barrier((arguments, gradients[0]))
        if xla_on_cpu():
            inputs = inputs + _hidden_zero(g).astype(inputs.dtype)
        _, pull = jax.vjp(lambda t, x: function(t, fixed, x)[0], trainable, inputs)
        dtrainable, dinputs = pull(g)
        return dtrainable, None, dinputs

    wrapped = jax.custom_vjp(function)
    wrapped.defvjp(forward, backward)
    return wrapped


def _hidden_zero(g):
    """A zero that XLA does not see through, known only when the gradient is.

    On a CPU XLA drops barriers early, those of `jax.checkpoint` too; it would find the first
    computation and the second to be the same and keep everything. A branch would tell them apart
    as well, but convolutions in branches run 25 times as slowly there.
    """
    from jax import numpy as jnp

    return jnp.minimum(jnp.abs(g.ravel()[0]), 0)


def _keras(function):
    def call(trainable, fixed, inputs):
        return keras.remat(lambda t, x: function(t, fixed, x))(trainable, inputs)

    return call


_WRAPPERS = {"jax": _jax, "tensorflow": _keras, "torch": _keras}
