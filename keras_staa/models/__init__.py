"""The networks. A new one is a module beside these, with `@register`, and a line here."""

from keras_staa.models import blocks
from keras_staa.models.argument import Argument
from keras_staa.models.compact import STAACompact, whiten
from keras_staa.models.efficientnet_lite import EfficientNetLite
from keras_staa.models.feature_maps import FeaturePyramid, feature_pyramid
from keras_staa.models.fusion import fuse
from keras_staa.models.network import Network
from keras_staa.models.registry import FACTORIES, register
from keras_staa.models.resnet import STAAResNet18, STAAResNet19, STAAResNet20, STAAResNet34
from keras_staa.models.vgg import STAAVGG

__all__ = [
    "FACTORIES",
    "STAAVGG",
    "Argument",
    "EfficientNetLite",
    "FeaturePyramid",
    "Network",
    "STAACompact",
    "STAAResNet18",
    "STAAResNet19",
    "STAAResNet20",
    "STAAResNet34",
    "blocks",
    "feature_pyramid",
    "fuse",
    "register",
    "whiten",
]
