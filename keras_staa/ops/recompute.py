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

    def gradient(arguments, g):
        trainable, fixed, inputs = arguments
        _, pull = jax.vjp(lambda t, x: function(t, fixed, x)[0], trainable, inputs)
        return pull(g)

    def backward(arguments, gradients):
        arguments, g = jax.lax.optimization_barrier((arguments, gradients[0]))
        if xla_on_cpu():
            dtrainable, dinputs = _apart(gradient, arguments, g)
        else:
            dtrainable, dinputs = gradient(arguments, g)
        return dtrainable, None, dinputs

    wrapped = jax.custom_vjp(function)
    wrapped.defvjp(forward, backward)
    return wrapped


def _apart(gradient, arguments, g):
    """The gradient in a branch that is always taken, which XLA cannot know.

    On a CPU it drops barriers early, those of `jax.checkpoint` too, finds the first computation
    and the second to be the same and keeps everything.
    """
    import jax
    from jax import numpy as jnp

    def zeros(arguments, g):
        return jax.tree.map(jnp.zeros_like, (arguments[0], arguments[2]))

    least = jnp.minimum(jnp.abs(g.ravel()[0]).astype("int32"), 0)
    return jax.lax.cond(least <= 0, gradient, zeros, arguments, g)


def _keras(function):
    def call(trainable, fixed, inputs):
        return keras.remat(lambda t, x: function(t, fixed, x))(trainable, inputs)

    return call


_WRAPPERS = {"jax": _jax, "tensorflow": _keras, "torch": _keras}
