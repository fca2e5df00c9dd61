"""Every network by its name."""

import inspect

from keras_staa.models import pretrained
from keras_staa.models.argument import documentation, signature
from keras_staa.models.arguments import common, resolve
from keras_staa.models.building import build

FACTORIES = {}

DOCUMENTATION = """{title}

The call follows `keras.applications`; what is particular to spiking networks goes by keyword.
Inputs are images (B, H, W, C) scaled to [0, 1], shown at every time step, or frames
(B, T, H, W, C). The result is a `keras_staa.models.Network`, a functional `keras.Model`.

{arguments}

Returns:
    A `keras_staa.models.Network`.

Raises:
    ValueError: for an argument outside its range, or arguments that do not fit each other.

Source: {source}
"""


def register(*, input_shape, width, source, arguments=(), adapt=None):
    """Make a network of its body, and let it be known by its name.

    The decorated function is the body: `(x, arguments) -> stages`, from the Keras tensor of the
    normalized input to a dictionary from each stage's name to the list of the outputs of its
    blocks, Keras tensors (B, T, h, w, channels). The last of them goes to the read-out. Its name
    is the network's name, and the first line of its docstring the title. The result is the
    factory, with the arguments of all networks, with weights, presets and transfer.

    Args:
        input_shape: the default input shape, (H, W, C) or (T, H, W, C).
        width: positive integer, the default number of channels of the first stage.
        source: string, where the network is from, such as a row of a paper.
        arguments: `keras_staa.models.Argument`s that this network has besides, all of them
            keyword-only.
        adapt: optional function `(model, inputs)` that sets weights of a new network by some
            thousand training samples. `keras_staa.training` calls it before training.

    Returns:
        A decorator.

    Raises:
        ValueError: if another network has the name, or an argument that all networks have.

    Example:

    >>> from keras_staa import checks
    >>> from keras_staa.models import Argument, blocks, register
    >>> depth = Argument(
    ...     name="depth", default=2, text="number of convolutions.",
    ...     check=checks.positive_int, in_presets="fixed",
    ... )
    >>> @register(input_shape=(32, 32, 3), width=16, source="an example", arguments=[depth])
    ... def Plain(x, arguments):
    ...     "A stack of spiking convolutions."
    ...     x = blocks.stem(x, arguments.width, 3, 1, arguments)
    ...     stages = {"stem": [x], "stage1": []}
    ...     for i in range(arguments.depth):
    ...         x = blocks.convolution(x, arguments.width, 3, 2, f"stage1_{i}")
    ...         x = blocks.spikes(x, arguments, f"stage1_{i}")
    ...         stages["stage1"].append(x)
    ...     return stages
    >>> Plain(depth=3, classes=5).output_shape
    (None, 5)
    """

    def decorate(body):
        name = body.__name__
        table = (*common(input_shape, width), *arguments)
        factory = _factory(name, body, table, input_shape)
        factory.__doc__ = DOCUMENTATION.format(
            title=(inspect.getdoc(body) or f"{name}.").splitlines()[0],
            arguments=documentation(table),
            source=source,
        )
        factory.__module__ = body.__module__
        factory.adapt = adapt
        _add(factory)
        return factory

    return decorate


def _factory(name, body, table, input_shape):
    own = [argument.name for argument in table]
    if len(set(own)) < len(own):
        twice = sorted({n for n in own if own.count(n) > 1})
        raise ValueError(
            f"`arguments` of {name} must not repeat arguments that all networks have: {twice}"
        )
    spec = signature(table)

    def create(given, **more):
        return build(name, body, table, resolve(table, given, input_shape), **more)

    def factory(*args, **kwargs):
        given = spec.bind(*args, **kwargs).arguments
        weights = given.pop("weights", None)
        return create(given) if weights is None else pretrained.load(factory, weights, given)

    factory.__name__ = factory.__qualname__ = name
    factory.__signature__ = spec
    factory.create, factory.table = create, table
    return factory


def _add(factory):
    """Add a factory under its name. A cell of a notebook may be run again."""
    known = FACTORIES.get(factory.__name__)
    if known is not None and known.__module__ != factory.__module__:
        raise ValueError(
            f"A network {factory.__name__!r} is registered already, by {known.__module__}. "
            "Received another one of this name"
        )
    FACTORIES[factory.__name__] = factory
