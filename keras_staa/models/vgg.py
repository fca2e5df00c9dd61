"""VGG networks of the paper."""

from keras_staa.models.factory import average_pool, convolution, cut, factory, spikes, stem


def _body(x, arguments):
    for stage, factor in enumerate((1, 2, 4, 8, 8), start=1):
        for index in (1, 2):
            name, filters = f"stage{stage}_{index}", arguments.width * factor
            if stage == index == 1:
                x = stem(x, filters, 3, 1, arguments, name)
            else:
                x = spikes(convolution(x, filters, 3, 1, name), arguments, name)
        x = cut(average_pool(x, f"stage{stage}_pool"), arguments)
    return x


STAAVGG = factory(
    "STAAVGG",
    "Spiking VGG-13 with spatial-temporal attention.",
    _body,
    input_shape=(32, 32, 3),
    width=64,
    source="the paper's VGG.",
)
