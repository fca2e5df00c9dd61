"""Recomputation in the backward pass: one contract, the backends' own mechanisms side by side."""

import keras

from keras_staa.ops.sums import by_platform


def recomputed(function):
    """Keep only the inputs of a function for its gradient, and compute the rest again.

    Args:
        function: `(trainable, fixed, inputs) -> (outputs, after)`: lists of tensors, a tensor;
            one or more tensors, the first of them with a batch axis, and a list of tensors. The
            gradient goes through `outputs` to `trainable` and `inputs`.

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
        known_late = by_platform(_known_with, lambda inputs, g: inputs)
        inputs = known_late(inputs, jax.tree.leaves(g)[0])
        _, pull = jax.vjp(lambda t, x: function(t, fixed, x)[0], trainable, inputs)
        dtrainable, dinputs = pull(g)
        return dtrainable, None, dinputs

    wrapped = jax.custom_vjp(function)
    wrapped.defvjp(forward, backward)
    return wrapped


def _known_with(inputs, g):
    """Return the inputs plus a zero that XLA does not see through, known only when the gradient is.

    On a CPU XLA drops barriers early, those of `jax.checkpoint` too; it would find the first
    computation and the second to be the same and keep everything. A branch would tell them apart
    as well, but convolutions in branches run 25 times as slowly there.
    """
    from jax import numpy as jnp

    # One place of every sample, so that nothing has to be gathered of a batch on many devices.
    places = g[(slice(None), *[0] * (g.ndim - 1))]
    return inputs + jnp.minimum(jnp.sum(jnp.abs(places)), 0).astype(inputs.dtype)


def _tensorflow(function):
    import tensorflow as tf

    recompute = _keras(function)

    def call(trainable, fixed, inputs):
        # Of a variable the gradient would be counted twice in eager mode, once as an argument and
        # once as what the function reads.
        return recompute([tf.convert_to_tensor(t) for t in trainable], fixed, inputs)

    return call


def _keras(function):
    def call(trainable, fixed, inputs):
        return keras.remat(lambda t, x: function(t, fixed, x))(trainable, inputs)

    return call


_WRAPPERS = {"jax": _jax, "tensorflow": _tensorflow, "torch": _keras}
