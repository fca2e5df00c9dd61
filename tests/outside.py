"""A network as a user of the library writes it, with an argument of its own."""

from keras_staa import checks
from keras_staa.models import FACTORIES, Argument, register
from keras_staa.models.blocks import convolution, spikes, stem

depth = Argument(
    name="depth",
    default=2,
    text="number of convolutions behind the stem.",
    check=checks.positive_int,
    in_presets="fixed",
)


@register(input_shape=(16, 16, 3), width=4, source="an example", arguments=[depth])
def Chain(x, arguments):
    """Chain of spiking convolutions."""
    stages = {"stem": [stem(x, arguments.width, 3, 2, arguments)]}
    for i in range(1, arguments.depth + 1):
        (x,) = list(stages.values())[-1]
        x = convolution(x, 2 * arguments.width, 3, 2, f"stage{i}")
        stages[f"stage{i}"] = [spikes(x, arguments, f"stage{i}")]
    return stages


# Known only where a test says so: other tests go through all networks of the library.
del FACTORIES["Chain"]
