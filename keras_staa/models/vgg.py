"""VGG networks of the paper."""

from keras_staa.models.blocks import average_pool, convolution, spikes, stem
from keras_staa.models.registry import register


@register(input_shape=(32, 32, 3), width=64, source="the paper's VGG.")
def STAAVGG(x, arguments):
    """Spiking VGG-13 with spatial-temporal attention."""
    stages = {}
    for stage, factor in enumerate((1, 2, 4, 8, 8), start=1):
        ends = stages[f"stage{stage}"] = []
        for index in (1, 2):
            name, filters = f"stage{stage}_{index}", arguments.width * factor
            if stage == index == 1:
                x = stem(x, filters, 3, 1, arguments, name)
                ends.append(x)
            else:
                x = spikes(convolution(x, filters, 3, 1, name), arguments, name)
        x = average_pool(x, f"stage{stage}_pool")
        ends.append(x)
    return stages
