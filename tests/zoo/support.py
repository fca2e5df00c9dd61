"""What the tests of presets share: a tiny factory, networks that tell images apart, a saved one."""

import re

import keras
import numpy as np

from keras_staa import zoo
from keras_staa.models import FACTORIES, register
from keras_staa.models.blocks import convolution, spikes, stem

CLASSES = ("cat", "dog", "frog")


# The real networks take most of a minute to build on JAX.
@register(input_shape=(16, 16, 3), width=4, source="none")
def Tiny(x, arguments):
    """Two convolutions."""
    x = stem(x, arguments.width, 3, 2, arguments)
    y = spikes(convolution(x, 2 * arguments.width, 3, 2, "stage"), arguments, "stage")
    return {"stem": [x], "stage": [y]}


# Known only where a test says so: other tests go through all networks.
del FACTORIES["Tiny"]


def registered(monkeypatch):
    """Let `zoo.load` know the tiny factory."""
    monkeypatch.setitem(FACTORIES, "Tiny", Tiny)


def tiny(seed=0, create=Tiny, **arguments):
    """A network whose every weight is random: start values of zero and one hide lost weights."""
    more = {"classes": 3, "steps": 1, "width": 4, "neuron": {"threshold": 0.3}}
    return randomise(create(**{**more, **arguments}), seed)


def randomise(model, seed=0):
    rng = np.random.default_rng(seed)
    for v in model.weights:
        if v.name in ("moving_variance", "gamma", "decay", "gain"):
            values = rng.uniform(0.3, 0.9, v.shape)
        elif v.name == "kernel":
            values = rng.normal(0, np.sqrt(2 / np.prod(v.shape[:-1])), v.shape)
        else:
            values = rng.normal(0, 0.1, v.shape)
        v.assign(values.astype("float32"))
    return model


def images(count=6, seed=1, shape=(16, 16, 3)):
    return np.random.default_rng(seed).random((count, *shape)).astype("float32")


def predictions(model, x=None):
    """Predictions that show what the weights are: no image may get the answer of another."""
    y = model.predict(images(shape=model.input_shape[1:]) if x is None else x, verbose=0)
    assert np.isfinite(y).all()
    assert np.ptp(y, axis=0).max() > 1e-3, "the network gives all images the same answer"
    return y


def saved(folder, model=None, **more):
    """A preset of a tiny network."""
    what = {"data_set": "noise", "class_names": list(CLASSES), "dtype": "float32"}
    return zoo.save(model or tiny(), folder, **{**what, **more})


def values(model):
    """The weights by their paths inside the model, as arrays."""
    # Keras counts the parts inside a layer: "staa_7/lif_9".
    found = {re.sub(r"_\d+/", "/", w.path): keras.ops.convert_to_numpy(w) for w in model.weights}
    assert len(found) == len(model.weights)
    return found


def listing(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
