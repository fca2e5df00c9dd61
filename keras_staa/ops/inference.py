"""A function compiled for inference: one contract, the three backends' own ways side by side."""

import keras
from keras import ops


def for_inference(function, variables):
    """Return a function without gradients, compiled where the backend compiles.

    On JAX and TensorFlow a program is made for each set of shapes. On PyTorch it runs as it is.

    Args:
        function: `(*arguments) -> results`, of nested tuples, lists and dictionaries of tensors.
        variables: list of all Keras variables that it reads. They may change between calls.

    Returns:
        A function of the same arguments, arrays or tensors.

    Example:

    >>> weight = keras.Variable([1.0, 2.0])
    >>> scaled = for_inference(lambda x: {"y": x * weight}, [weight])
    >>> [float(y) for y in scaled(np.ones(2, "float32"))["y"]]
    [1.0, 2.0]
    """
    return _WAYS[keras.backend.backend()](function, variables)


def _jax(function, variables):
    import jax

    # Variables that are read inside would be constants of the program.
    @jax.jit
    def run(values, arguments):
        mapping = list(zip(variables, values, strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            return function(*arguments)

    return lambda *arguments: run([v.value for v in variables], arguments)


def _tensorflow(function, variables):
    import tensorflow as tf

    compiled = tf.function(function)
    return lambda *arguments: compiled(*_tensors(arguments))


def _torch(function, variables):
    import torch

    def run(*arguments):
        with torch.no_grad():
            return function(*_tensors(arguments))

    return run


def _tensors(arguments):
    return keras.tree.map_structure(ops.convert_to_tensor, arguments)


_WAYS = {"jax": _jax, "tensorflow": _tensorflow, "torch": _torch}
