"""The neurons of a training are compiled where that is possible, and a log says where it is not."""

import logging

import pytest

import keras_staa
from keras_staa import training
from keras_staa.training import compiling, run
from tests.training.support import pictures, recipe_of


def network(neuron):
    return keras_staa.STAACompact(width=4, steps=1, attention=False, neuron=neuron)


def test_neurons_are_compiled(monkeypatch):
    given = []
    monkeypatch.setattr(compiling, "jit_compile", given.append)
    model = network(None)
    compiling.compile_neurons(model)
    assert given == [model]


def test_a_network_without_neurons_is_left_alone(monkeypatch):
    monkeypatch.setattr(compiling, "jit_compile", lambda model: pytest.fail("has no neurons"))
    compiling.compile_neurons(network("relu"))


def test_a_log_says_that_there_is_no_compiler(monkeypatch, caplog):
    def fails(model):
        raise RuntimeError("needs a C++ compiler")

    monkeypatch.setattr(compiling, "jit_compile", fails)
    monkeypatch.setattr(logging.getLogger("keras_staa.training"), "propagate", True)
    compiling.compile_neurons(network(None))
    assert "not compiled" in caplog.text and "needs a C++ compiler" in caplog.text


@pytest.mark.heavy
@pytest.mark.parametrize("wanted", [False, True])
def test_a_recipe_decides(wanted, monkeypatch, tmp_path):
    given = []
    monkeypatch.setattr(run, "compile_neurons", given.append)
    changes = [f"training.jit_compile={str(wanted).lower()}"]
    recipe = training.load_recipe(recipe_of(pictures(tmp_path / "colors")), changes)
    training.train(recipe, tmp_path / "run", verbose=0)
    assert len(given) == wanted
