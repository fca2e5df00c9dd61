"""The networks. A new one is a module beside these and a line in `FACTORIES`."""

from keras_staa.models.compact import STAACompact, whiten
from keras_staa.models.factory import recorded_arguments
from keras_staa.models.resnet import STAAResNet18, STAAResNet19, STAAResNet20, STAAResNet34
from keras_staa.models.vgg import STAAVGG

FACTORIES = {
    factory.__name__: factory
    for factory in (STAACompact, STAAResNet18, STAAResNet19, STAAResNet20, STAAResNet34, STAAVGG)
}

__all__ = [
    "FACTORIES",
    "STAAVGG",
    "STAACompact",
    "STAAResNet18",
    "STAAResNet19",
    "STAAResNet20",
    "STAAResNet34",
    "recorded_arguments",
    "whiten",
]
