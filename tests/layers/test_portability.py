"""A `.keras` file written on one backend gives the same output on the other two."""

import importlib.util
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_staa.layers import (
    LIF,
    STAA,
    STAALIF,
    GlobalContext,
    MeanOverSteps,
    MeanStepAttention,
    PerStep,
    PositionEncoding,
    RepeatSteps,
    STAANeuron,
    StepAttention,
)
from keras_staa.surrogates import Sigmoid
from tests.layers.support import randomise

OTHERS = sorted({"jax", "tensorflow", "torch"} - {keras.backend.backend()})
TOLERANCE = 1e-5

LOAD = """
import sys
import keras
import numpy as np
import keras_staa

model = keras.saving.load_model(sys.argv[1])
images = np.load(sys.argv[2])["images"]
outputs = model.predict(images, batch_size=2, verbose=0)
np.savez(sys.argv[3], backend=keras.backend.backend(), **dict(zip(model.output_names, outputs)))
"""


def network():
    """Every layer once, shallow, with the currents in front of each threshold as outputs."""
    image = keras.Input((6, 6, 3))
    x = RepeatSteps(4)(image)
    x = PerStep(keras.layers.Conv2D(8, 3, padding="same"))(x)
    x = PositionEncoding("full")(x)
    x = GlobalContext(ratio=2)(x)
    x = StepAttention()(x)
    first = STAA(ratio=2, position="sinusoidal", seed=1)(x)
    spikes = LIF(learn=True, decay=0.5, reset="soft", surrogate=Sigmoid(slope=2))(first)
    second = PerStep(keras.layers.Conv2D(8, 3))(spikes)
    more = STAALIF(ratio=2, step_gate="causal", threshold=0.5, surrogate="arctan")(second)
    more = keras.layers.Flatten()(MeanOverSteps()(more))
    outputs = {"first": first, "spikes": spikes, "second": second, "more": more}
    outputs = [keras.layers.Identity(name=name)(x) for name, x in outputs.items()]
    return randomise(keras.Model(image, outputs), seed=4)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The folder with the file, and what the network gives here."""
    folder = tmp_path_factory.mktemp("portable")
    model = network()
    images = np.random.default_rng(5).uniform(0, 1, (5, 6, 6, 3)).astype("float32")
    outputs = model.predict(images, batch_size=2, verbose=0)
    model.save(folder / "network.keras")
    np.savez(folder / "images.npz", images=images)
    return folder, dict(zip(model.output_names, outputs, strict=True))


def assert_same(outputs, expected):
    for name, wanted in expected.items():
        error = np.abs(outputs[name] - wanted).max()
        assert error <= TOLERANCE * np.abs(wanted).max(), f"{name}: {error:.1e}"


def test_the_network_says_something(saved):
    """A network that never fires agrees with every other one."""
    _, outputs = saved
    assert 0.1 < outputs["spikes"].mean() < 0.9
    assert 0.1 < outputs["more"].mean() < 0.9
    for name, output in outputs.items():
        for other in output[1:]:
            assert (other != output[0]).mean() > 0.05, name


def test_the_same_backend(saved):
    folder, expected = saved
    model = keras.saving.load_model(folder / "network.keras")
    outputs = model.predict(np.load(folder / "images.npz")["images"], batch_size=5, verbose=0)
    assert_same(dict(zip(model.output_names, outputs, strict=True)), expected)


@pytest.mark.parametrize("backend", OTHERS)
def test_another_backend(saved, backend):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    folder, expected = saved
    result = folder / f"{backend}.npz"
    files = [folder / "network.keras", folder / "images.npz", result]
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-c", LOAD, *map(str, files)],
        env={**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    outputs = np.load(result)
    assert outputs["backend"] == backend
    assert_same(outputs, expected)


@pytest.mark.parametrize("kind", [STAA, STAALIF, STAANeuron])
@pytest.mark.parametrize(
    ("then", "now"), [(False, False), (True, "mean"), ("causal", "causal_mean")]
)
@pytest.mark.parametrize("name", ["steps", "step_gate"])
def test_configurations_from_before_step_attention_had_its_present_form(kind, then, now, name):
    more = {"neuron": LIF()} if kind is STAANeuron else {}
    config = kind(step_gate=now, **more).get_config()
    old = {key: value for key, value in config.items() if key not in ("step_gate", "step_units")}
    layer = kind.from_config({**old, name: then})
    attention = getattr(layer, "staa", layer).step_attention
    assert (attention is None) is (then is False)
    if attention is not None:
        assert type(attention) is MeanStepAttention and attention.causal is (then == "causal")
    assert layer.get_config() == {**config, "name": layer.name}
    # And what is written today is read as it is.
    again = kind.from_config(kind(step_gate=then, **more).get_config())
    assert getattr(again, "staa", again).step_gate == then


def test_step_attention_of_its_first_form_from_a_configuration():
    layer = StepAttention.from_config({"name": "gate", "causal": True})
    assert type(layer) is MeanStepAttention and layer.causal and layer.name == "gate"
