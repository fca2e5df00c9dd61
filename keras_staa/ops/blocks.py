"""Long sequences where a program is compiled for some steps and run again and again.

For PyTorch, whose compiler sees a loop unrolled: hundreds of steps would take it minutes.
"""

from keras import ops

# Steps of a program, at most.
STEPS = 16


def over_blocks(forward, backward, names):
    """Join programs for some steps to a neuron and its gradient, as `with_backward` takes them.

    The potential at the start of each block is kept for the gradient, one for each `STEPS` steps.

    Args:
        forward: function `(h, *tensors) -> (spikes, h)` of the inputs of some steps, from the
            potential before the first of them to that after the last, float32 (B, ...).
        backward: function `(h, dh, g, *tensors) -> (dh, *gradients)`.
        names: names of the tensors, as `keras_staa.ops.inputs.Inputs` has them.

    Returns:
        Two functions: `(*tensors) -> (spikes, residuals)` and `(residuals, g) -> gradients`.
    """

    def spikes(*tensors):
        current, axes = tensors[0], _time_axes(names, tensors)
        h, found, starts = _zeros(current), [], []
        for part in _parts(current.shape[1]):
            starts.append(h)
            made, h = forward(h, *_cut(tensors, axes, part))
            found.append(made)
        return ops.concatenate(found, axis=1), (*tensors, *starts)

    def gradient(residuals, g):
        tensors, starts = residuals[: len(names)], residuals[len(names) :]
        axes, dh, found = _time_axes(names, tensors), _zeros(tensors[0]), []
        parts = _parts(tensors[0].shape[1])
        for part, h in reversed(list(zip(parts, starts, strict=True))):
            dh, *made = backward(h, dh, g[:, part], *_cut(tensors, axes, part))
            found.insert(0, made)
        return tuple(
            sum(made) if axis is None else ops.concatenate(made, axis=axis)
            for axis, made in zip(axes, zip(*found, strict=True), strict=True)
        )

    return spikes, gradient


def _parts(steps):
    """Slices of nearly equal length: two programs at most."""
    count = -(-steps // STEPS)
    size = -(-steps // count)
    return [slice(start, min(start + size, steps)) for start in range(0, steps, size)]


def _time_axes(names, tensors):
    """Return the axis of time of each tensor, None for one that all steps share."""
    axes = {"current": 1, "keep": 1, "encoding": 0}
    shapes = dict(zip(names, (len(tensor.shape) for tensor in tensors), strict=True))
    if shapes.get("gain") == 3:
        axes["gain"] = 1
    return [axes.get(name) for name in names]


def _cut(tensors, axes, part):
    whole = slice(None)
    return [
        tensor if axis is None else tensor[part if axis == 0 else (whole, part)]
        for tensor, axis in zip(tensors, axes, strict=True)
    ]


def _zeros(current):
    return ops.zeros_like(current[:, 0], dtype="float32")
