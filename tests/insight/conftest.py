"""What several tests look into."""

import keras
import pytest

import keras_staa
from keras_staa.layers import STAALIF
from tests.layers.support import randomise


@pytest.fixture(scope="module")
def network():
    """A network whose aggregators all do something."""
    keras.utils.set_random_seed(0)
    model = keras_staa.STAAResNet18(width=4, steps=3, input_shape=(12, 12, 3), classes=5)
    for layer in keras_staa.layers.flatten_layers(model):
        if isinstance(layer, STAALIF):
            randomise(layer)
    return model
