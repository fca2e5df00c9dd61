"""Custom gradients: one contract, the three backends' own mechanisms side by side."""

import contextlib
import functools

import keras

from keras_staa.ops import inductor
from keras_staa.ops.portable import is_portable

# A list, as in `keras_staa.ops.portable`.
_XLA = [False]


def with_backward(forward, backward, compiled=False):
    """Join a function with its hand-written gradient.

    `keras.ops.custom_gradient` treats keyword arguments, variables, non-tensors and several
    outputs differently on each backend, and on PyTorch hides errors of the forward pass; this
    wrapper takes tensors only and behaves alike everywhere.

    Args:
        forward: function `(*tensors) -> (output, residuals)`. `output` is one tensor or a tuple
            of tensors, `residuals` a tuple of the tensors that the gradient needs.
        backward: function `(residuals, gradient) -> gradients`. `gradient` has the structure of
            `output`; `gradients` is a tuple with one tensor for each input of `forward`, of that
            input's shape and dtype.
        compiled: whether the forward pass, too, is compiled where nothing around it is, by XLA on
            TensorFlow. For PyTorch see `by_itself`. On JAX what calls them decides.

    Returns:
        A function `(*tensors) -> output`, differentiable once. Pass a variable as
        `ops.convert_to_tensor(variable)`.

    Example:

    >>> double = with_backward(lambda x: (2 * x, (x,)), lambda saved, g: (2 * g,))
    >>> float(double(keras.ops.ones(())))
    2.0
    """
    return _WRAPPERS[keras.backend.backend()](forward, backward, compiled)


def by_itself(function, compiled):
    """Return a function of tensors that PyTorch compiles by itself, by inductor, if it is to.

    Call it once and keep the result, which keeps what is compiled.
    """
    wanted = compiled and keras.backend.backend() == "torch"
    return inductor.compiled(function) if wanted else function


def separated(function):
    """Return a function whose tensors XLA on JAX has to have in memory, as they are.

    Without that XLA may keep what a gradient needs in two forms, one for each reader: a seventh
    more memory for a training step of STAAResNet19.
    """
    if keras.backend.backend() != "jax":
        return function
    import jax

    return lambda *tensors: function(*jax.lax.optimization_barrier(tensors))


def pullback(function, tensors, gradients):
    """Return the gradients of the inputs of a function, from those of its outputs.

    Args:
        function: `(*tensors) -> outputs`, a tuple of tensors.
        tensors: tuple of float32 tensors.
        gradients: tuple of tensors, in the shapes of the outputs.

    Returns:
        A tuple of tensors, zeros for an input that no output depends on.

    Example:

    >>> one = keras.ops.ones(())
    >>> [float(g) for g in pullback(lambda x, y: (2 * x,), (one, one), (one,))]
    [2.0, 0.0]
    """
    return _PULLBACKS[keras.backend.backend()](function, tensors, gradients)


def _pullback_jax(function, tensors, gradients):
    import jax

    return jax.vjp(function, *tensors)[1](tuple(gradients))


def _pullback_tensorflow(function, tensors, gradients):
    import tensorflow as tf

    # The tape tells tensors apart by identity, and one may be given twice.
    tensors = [tf.identity(tensor) for tensor in tensors]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        outputs = function(*tensors)
    zero = tf.UnconnectedGradients.ZERO
    return tuple(tape.gradient(outputs, tensors, list(gradients), unconnected_gradients=zero))


def _pullback_torch(function, tensors, gradients):
    import torch

    with torch.enable_grad():
        tensors = [t.detach().requires_grad_() for t in tensors]
        pairs = zip(function(*tensors), gradients, strict=True)
        pairs = [(output, g) for output, g in pairs if output.requires_grad]
        if not pairs:
            return tuple(torch.zeros_like(t) for t in tensors)
        outputs, gradients = zip(*pairs, strict=True)
        found = torch.autograd.grad(outputs, tensors, gradients, allow_unused=True)
    return tuple(
        torch.zeros_like(t) if g is None else g for t, g in zip(tensors, found, strict=True)
    )


def _jax(forward, backward, compiled):
    import jax

    function = jax.custom_vjp(lambda *tensors: forward(*tensors)[0])
    function.defvjp(forward, backward)
    return function


def _tensorflow(forward, backward, compiled):
    import tensorflow as tf

    # XLA fuses a chain of element-wise steps that TensorFlow would run one by one: measured 1.3
    # times the training speed of a whole network on a CPU. The forward pass stays as it is unless
    # asked for, so that exported models need no XLA.
    forward = _xla(forward) if compiled else forward
    backward = _xla(backward)

    @tf.custom_gradient
    def function(*tensors):
        # Else a tape that watches them wants a program that can be differentiated: it gives out
        # what that needs, and a loop whose length XLA does not know.
        output, residuals = forward(*(tf.stop_gradient(tensor) for tensor in tensors))

        def gradient(*gradients):
            return backward(residuals, gradients if isinstance(output, tuple) else gradients[0])

        return output, gradient

    # A variable among the inputs would count as a hidden one, which tf.custom_gradient refuses.
    return lambda *tensors: function(*(tf.convert_to_tensor(t) for t in tensors))


@contextlib.contextmanager
def _traced_by_xla():
    before, _XLA[0] = _XLA[0], True
    try:
        yield
    finally:
        _XLA[0] = before


def is_for_xla():
    """Whether what is traced now is run by XLA, on JAX or within a function of this module."""
    return keras.backend.backend() == "jax" or _XLA[0]


def _xla(function):
    """Compile a function by XLA, one TensorFlow function a signature: it warns of more."""
    import tensorflow as tf

    @functools.cache
    def compiled(signature):
        found = {}

        def run(*arguments):
            # XLA would copy an input that is also an output: a pass over memory and another
            # tensor to keep for the gradient.
            given = {id(tensor): i for i, tensor in enumerate(tf.nest.flatten(arguments))}
            with _traced_by_xla():
                outputs = function(*arguments)
            flat = tf.nest.flatten(outputs)
            found["structure"] = tf.nest.map_structure(lambda tensor: None, outputs)
            found["passed"] = [given.get(id(tensor)) for tensor in flat]
            return [t for t in flat if id(t) not in given]

        return tf.function(run, jit_compile=True, autograph=False), found

    def call(*arguments):
        tensors = tf.nest.flatten(arguments)
        run, found = compiled(tuple((t.dtype, tuple(t.shape)) for t in tensors))
        made = iter(run(*arguments))
        flat = [next(made) if place is None else tensors[place] for place in found["passed"]]
        return tf.nest.pack_sequence_as(found["structure"], flat)

    return call


def _torch(forward, backward, compiled):
    def function(*tensors):
        if is_portable():
            return forward(*tensors)[0]
        return WithBackward.apply(forward, backward, *tensors)

    return function


if keras.backend.backend() == "torch":
    import torch

    # One class for all functions: `torch.compile` follows a class, and does not make any.
    class WithBackward(torch.autograd.Function):
        @staticmethod
        def forward(ctx, forward, backward, *tensors):
            output, residuals = forward(*tensors)
            ctx.save_for_backward(*residuals)
            ctx.backward_of = backward
            return output

        @staticmethod
        def backward(ctx, *gradients):
            many = len(gradients) > 1
            given = ctx.backward_of(ctx.saved_tensors, gradients if many else gradients[0])
            return None, None, *given


_WRAPPERS = {"jax": _jax, "tensorflow": _tensorflow, "torch": _torch}
_PULLBACKS = {
    "jax": _pullback_jax,
    "tensorflow": _pullback_tensorflow,
    "torch": _pullback_torch,
}
