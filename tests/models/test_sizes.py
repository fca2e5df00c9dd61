"""Networks for batches of no samples and for images of sizes that only the call knows."""

import keras
import numpy as np
import pytest

from keras_staa import zoo
from keras_staa.models import FACTORIES, STAAVGG

BACKEND = keras.backend.backend()
OTHERS = [pytest.param(name, marks=pytest.mark.slow) for name in FACTORIES if name != "STAAVGG"]
every_factory = pytest.mark.parametrize("name", ["STAAVGG", *OTHERS])


@every_factory
def test_no_samples_give_no_results(name):
    model = FACTORIES[name](steps=2, width=4, classes=7, input_shape=(32, 32, 3))
    assert tuple(model(np.zeros((0, 32, 32, 3), "float32"), training=False).shape) == (0, 7)


def test_no_frames_give_no_results():
    model = STAAVGG(width=4, input_shape=(3, 32, 32, 2), step_logits=True)
    assert tuple(model(np.zeros((0, 3, 32, 32, 2), "float32")).shape) == (0, 3, 10)


def test_no_images_for_a_preset():
    model = zoo.load("cifar10")
    nothing = np.zeros((0, 32, 32, 3), "float32")
    assert tuple(model(nothing, training=False).shape) == (0, 10)
    assert model.predict_on_batch(nothing).shape == (0, 10)
