"""The loop over time of a neuron that is given by one step alone: gradients by differentiation."""

import keras
from keras import ops

from keras_staa.ops.gradient import pullback, with_backward
from keras_staa.ops.neuron import UNROLLED_STEPS


def over_steps(step, state, drive, weights=()):
    """Apply a step to every time step of a current, each from the state that the last one left.

    Up to `keras_staa.ops.neuron.UNROLLED_STEPS` steps the loop is unrolled and the backend
    differentiates it. Above, it is rolled: the states are kept, and the gradient goes back through
    one step at a time, since XLA on TensorFlow cannot differentiate a loop.

    Args:
        step: function `(state, drive, weights) -> (spikes, state)` of float32 tensors of one time
            step. `state` is a tensor or a tuple of tensors, of the same shapes before and after;
            `weights` is a list of tensors. It must read no other tensors that have a gradient.
        state: the state before the first step.
        drive: float32 tensor (B, T, ...).
        weights: list of float32 tensors.

    Returns:
        Spikes (B, T, ...), float32.

    Example:

    >>> def step(h, drive, weights):
    ...     return h + drive, h + drive
    >>> [float(s) for s in over_steps(step, ops.zeros((1,)), ops.ones((1, 3)))[0]]
    [1.0, 2.0, 3.0]
    """
    weights = list(weights)
    if drive.shape[1] <= UNROLLED_STEPS:
        spikes = []
        for t in range(drive.shape[1]):
            s, state = step(state, drive[:, t], weights)
            spikes.append(s)
        return ops.stack(spikes, axis=1)
    parts = keras.tree.flatten(state)
    return _rolled(step, state, len(parts))(drive, *parts, *weights)


def _rolled(step, structure, count):
    """Return the loop as a function `(drive, *state, *weights) -> spikes` with its gradient."""

    def flat_step(drive, *rest):
        state = keras.tree.pack_sequence_as(structure, list(rest[:count]))
        spikes, state = step(state, drive, list(rest[count:]))
        return (spikes, *keras.tree.flatten(state))

    # What a step gives out has the shapes of what it carries on, as TensorFlow's loop wants it.
    def forward(drive, *rest):
        state, weights = rest[:count], rest[count:]

        def body(carry, drive):
            made = flat_step(drive, *carry[1:], *weights)
            return made, (made[0], *carry[1:])

        start = (ops.zeros_like(drive[:, 0]), *state)
        spikes, *states = ops.scan(body, start, _swap_time(drive), length=drive.shape[1])[1]
        return _swap_time(spikes), (drive, *states, *weights)

    def backward(residuals, g):
        drive, states, weights = residuals[0], residuals[1 : 1 + count], residuals[1 + count :]

        def body(carry, inputs):
            g, drive, *state = inputs
            dstate, dweights = carry[1 : 1 + count], carry[1 + count :]
            found = pullback(flat_step, (drive, *state, *weights), (g, *dstate))
            summed = [a + b for a, b in zip(dweights, found[1 + count :], strict=True)]
            made = (*found[: 1 + count], *summed)
            return made, made

        start = (ops.zeros_like(drive[:, 0]), *(ops.zeros_like(s[0]) for s in states))
        start += tuple(ops.zeros_like(w) for w in weights)
        sequences = (_swap_time(g), _swap_time(drive), *states)
        last, made = ops.scan(body, start, sequences, length=drive.shape[1], reverse=True)
        return (_swap_time(made[0]), *last[1:])

    return with_backward(forward, backward)


def _swap_time(x):
    return ops.swapaxes(x, 0, 1)
