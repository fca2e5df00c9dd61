"""A functional model as a function of one time step."""

import keras
from keras import layers, ops

from keras_staa import _keras
from keras_staa.insight import finding
from keras_staa.layers import PerStep, RepeatSteps

# Layers that treat every time step by itself.
SINGLE = (
    PerStep,
    layers.TimeDistributed,
    layers.Activation,
    layers.ReLU,
    layers.LeakyReLU,
    layers.ELU,
    layers.Dropout,
    layers.SpatialDropout1D,
    layers.SpatialDropout2D,
    layers.SpatialDropout3D,
    layers.GaussianDropout,
    layers.GaussianNoise,
    layers.AlphaDropout,
    layers.ActivityRegularization,
    layers.Identity,
    layers.Rescaling,
    layers.Dense,
    layers.Add,
    layers.Subtract,
    layers.Multiply,
    layers.Average,
    layers.Maximum,
    layers.Minimum,
)
# And those that do if their axis is another one.
BY_AXIS = (
    layers.BatchNormalization,
    layers.LayerNormalization,
    layers.Normalization,
    layers.UnitNormalization,
    layers.Softmax,
    layers.Concatenate,
)
# Operations of `keras.ops`, by their names.
OPERATIONS = {"Add", "Subtract", "Multiply", "Divide", "Maximum", "Minimum", "Negative", "Relu"}


def split(model):
    """Return the part of a model before its time axis, and the rest.

    Args:
        model: a functional or sequential model with one input.

    Returns:
        Two models: the first is None where the input has a time axis, or where it is not known
        which part has none.
    """
    repeats = [layer for layer in model.layers if isinstance(layer, RepeatSteps)]
    if len(repeats) != 1:
        return None, model
    start = repeats[0].input
    if start is model.inputs[0]:
        return None, model
    outputs = model.outputs[0] if len(model.outputs) == 1 else model.outputs
    try:
        return keras.Model(model.inputs[0], start), keras.Model(start, outputs)
    except ValueError:
        # Something else, too, goes around the repetition.
        return None, model


def has_time_axis(model):
    """Whether the input of a model has a time axis: no layer makes one."""
    return not any(isinstance(layer, RepeatSteps) for layer in _keras.all_layers(model))


def run(model, inputs, clock, visit):
    """Run a model for one time step.

    Args:
        model: a functional or sequential model.
        inputs: tensor (B, ...), without a time axis.
        clock: int32 tensor (B,), the number of the step.
        visit: function `(name, layer, inputs, clock) -> outputs` that runs a layer which has a
            state, and gets the name of the call.

    Returns:
        The outputs of the step, without a time axis.

    Raises:
        ValueError: for a layer that does not run one time step at a time.
    """
    names = set()

    def walk(graph, x, timed):
        # Whether tensors have a time axis. They are kept, so that each has an identity of its own.
        made = {}

        def known(tensors):
            return [made.get(id(t), (None, timed))[1] for t in keras.tree.flatten(tensors)]

        def call(layer, *args, **kwargs):
            steps = any(known(args))
            if _keras.is_functional(layer):
                y, every = walk(layer, args[0], steps)
            else:
                y, steps = _call(layer, steps, args, kwargs)
                every = [steps] * len(keras.tree.flatten(y))
            for tensor, flag in zip(keras.tree.flatten(y), every, strict=True):
                made[id(tensor)] = tensor, flag
            return y

        y = _keras.run_with(graph, x, call)
        return y, known(y)

    def _call(layer, steps, args, kwargs):
        """Return the outputs of a layer, and whether they have a time axis."""
        if isinstance(layer, RepeatSteps):
            return args[0][:, None], True
        if steps and hasattr(layer, "stream"):
            step = args[0][:, 0]
            if keras.backend.is_float_dtype(keras.backend.standardize_dtype(step.dtype)):
                step = ops.cast(step, layer.compute_dtype)
            name = finding.numbered(layer.name, names)
            names.add(name)
            y = visit(name, layer, step, clock)
            return (y, False) if getattr(layer, "ends_steps", False) else (y[:, None], True)
        if steps:
            _check_single(layer, args)
        return layer(*args, **kwargs), steps

    timed = has_time_axis(model)
    outputs, flags = walk(model, inputs[:, None] if timed else inputs, timed)
    flat = [y[:, 0] if f else y for y, f in zip(keras.tree.flatten(outputs), flags, strict=True)]
    return keras.tree.pack_sequence_as(outputs, flat)


def _check_single(layer, args):
    rank = len(keras.tree.flatten(args)[0].shape)
    axis = layer.axis if isinstance(layer, BY_AXIS) else None
    axes = axis if isinstance(axis, list | tuple) else [] if axis is None else [axis]
    known = isinstance(layer, SINGLE + BY_AXIS)
    operation = not isinstance(layer, keras.Layer) and type(layer).__name__ in OPERATIONS
    if (known or operation) and 1 not in [a % rank for a in axes]:
        return
    raise ValueError(
        f"`model` must have layers that run one time step at a time. Received: the layer "
        f"{layer.name!r} of the class `{type(layer).__name__}`, which is not known to. Put it into "
        "`keras_staa.layers.PerStep` if each step is by itself, or give it the methods "
        "`initial_state` and `stream`: see `keras_staa.streaming`."
    )
