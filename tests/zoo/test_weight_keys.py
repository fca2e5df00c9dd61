"""Where each weight stands in a file: if this changes, the weights of old presets are lost."""

import pathlib

import h5py
import pytest

from keras_staa import STAACompact, presets, zoo
from keras_staa.models import FACTORIES

KEYS = pathlib.Path(__file__).parent / "keys"


def keys_of(path):
    """`key shape` of each weight of a `.weights.h5` file; the seeds' shape is all they have."""
    lines = []
    with h5py.File(path) as file:

        def visit(name, item):
            if isinstance(item, h5py.Dataset):
                lines.append(f"{name} {item.shape}")

        file.visititems(visit)
    return sorted(lines)


def golden(name):
    return (KEYS / f"{name}.txt").read_text("utf-8").splitlines()


def small(name, shape=(32, 32, 3)):
    return FACTORIES[name](input_shape=shape, classes=10, steps=2, width=4)


@pytest.mark.parametrize("name", FACTORIES)
def test_the_keys_and_shapes_of_a_network(name, tmp_path):
    path = tmp_path / "small.weights.h5"
    small(name).save_weights(path)
    assert keys_of(path) == golden(name)


@pytest.mark.parametrize("name", ["STAAVGG"])
def test_the_keys_and_shapes_of_a_network_for_frames(name, tmp_path):
    """Its first convolution is applied to each step and not once, and lies a level deeper."""
    path = tmp_path / "small.weights.h5"
    small(name, (2, 32, 32, 2)).save_weights(path)
    assert keys_of(path) == golden(f"{name}.frames")


def test_the_keys_and_shapes_of_a_network_without_the_aggregator(tmp_path):
    path = tmp_path / "small.weights.h5"
    plain = {"attention": False, "neuron": {"learn": False}}
    STAACompact(classes=10, steps=2, width=4, **plain).save_weights(path)
    assert keys_of(path) == golden("STAACompact.lif")


def test_the_keys_and_shapes_of_a_network_with_the_first_form_of_step_attention(tmp_path):
    path = tmp_path / "small.weights.h5"
    model = STAACompact(classes=10, steps=2, width=4, attention={"step_gate": "mean"})
    model.save_weights(path)
    assert keys_of(path) == golden("STAACompact.mean")


@pytest.mark.parametrize("name", zoo.list_models())
def test_the_keys_of_a_preset(name):
    preset = zoo.describe(name)
    frames = len(preset["arguments"]["input_shape"]) == 4
    form = "" if preset["arguments"]["attention"] else ".lif"
    expected = golden(preset["architecture"] + form + (".frames" if frames else ""))
    found = keys_of(presets.find(name) / presets.WEIGHTS)
    assert [line.split()[0] for line in found] == [line.split()[0] for line in expected]
