"""Make the presets of tests/zoo/forever, which every later version must load.

    python -m tests.zoo.old_presets FOLDER

They were made once, by the version whose name their folder has. Never make those that are there
again: add a folder for a new version where presets can hold something new.
"""

import json
import pathlib
import shutil
import sys

import keras
import numpy as np

import keras_staa
from keras_staa.layers import ALIF
from tests.zoo.support import randomise

NEURON = {"surrogate": "triangular", "threshold": 0.3}
NETWORKS = {
    "images": lambda: keras_staa.STAAVGG(
        input_shape=(16, 16, 3), classes=3, steps=2, width=4, neuron={**NEURON, "reset": "soft"}
    ),
    "frames": lambda: keras_staa.STAACompact(
        input_shape=(3, 16, 16, 2), classes=3, width=4, neuron=NEURON
    ),
    "plain": lambda: keras_staa.STAAResNet20(
        input_shape=(16, 16, 3), classes=3, steps=2, width=4, attention=False, neuron=NEURON
    ),
    "other_neuron": lambda: keras_staa.STAAVGG(
        input_shape=(16, 16, 3), classes=3, steps=2, width=4, neuron=ALIF(threshold=0.3)
    ),
}
# With other weights all samples get one answer.
SEEDS = {"images": 6, "frames": 4, "plain": 0, "other_neuron": 12}


def inputs(shape):
    """Samples without random numbers, whose stream NumPy may change."""
    places = np.arange(int(np.prod(shape)))
    waves = np.sin(np.outer([0.01, 0.11, 0.7, 2.9], places))
    return (0.5 + 0.5 * waves).reshape(4, *shape).astype("float32")


def make(folder):
    folder = pathlib.Path(folder)
    for name, create in NETWORKS.items():
        model = randomise(create(), SEEDS[name])
        path = keras_staa.zoo.save(
            model, folder / name, data_set="none", class_names=["a", "b", "c"], dtype="float32"
        )
        model = keras_staa.zoo.load(path)
        y = model.predict(inputs(model.input_shape[1:]), verbose=0)
        assert np.ptp(y, axis=0).max() > 0.05, name
        text = json.dumps(np.round(y.astype(float), 6).tolist())
        (folder / f"{name}.predictions.json").write_text(text + "\n", "utf-8")
        if name in ("frames", "other_neuron"):
            model.save(folder / f"{name}.keras")
        # Half a megabyte of HDF5's own, which is mostly zeros.
        shutil.make_archive(folder / name, "zip", folder, name)
        shutil.rmtree(path)


if __name__ == "__main__":
    keras.utils.set_random_seed(0)
    make(sys.argv[1])
