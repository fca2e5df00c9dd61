"""The examples in docstrings give the output they state, and what is public has an example."""

import doctest
import importlib
import inspect
import pkgutil

import keras
import numpy as np
import pytest

import keras_staa

# Kernels for other backends import what these need.
KERNELS = {"jax": "keras_staa.ops.kernels.pallas.", "torch": "keras_staa.ops.kernels.torch."}
OTHERS = tuple(name for one, name in KERNELS.items() if one != keras.backend.backend())
MODULES = [
    info.name
    for info in pkgutil.walk_packages(keras_staa.__path__, "keras_staa.")
    # Importing it runs the command line.
    if not info.name.endswith("__main__") and not info.name.startswith(OTHERS)
]


def public():
    for module in (keras_staa.layers, keras_staa.data, keras_staa.surrogates, keras_staa.callbacks):
        # A module without __all__ exports what it defines.
        names = getattr(module, "__all__", None) or [
            name
            for name, value in vars(module).items()
            if not name.startswith("_") and getattr(value, "__module__", "") == module.__name__
        ]
        for name in names:
            value = getattr(module, name)
            if inspect.isclass(value) or inspect.isfunction(value):
                yield pytest.param(value, id=f"{module.__name__}.{name}")


@pytest.mark.parametrize("name", MODULES)
def test_examples_give_what_they_state(name, monkeypatch):
    keras.utils.set_random_seed(0)
    # What an example registers is known in it alone.
    registry = keras_staa.models.registry
    monkeypatch.setattr(registry, "FACTORIES", dict(registry.FACTORIES))
    module = importlib.import_module(name)
    names = {**vars(module), "keras": keras, "np": np, "keras_staa": keras_staa}
    report = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    for test in doctest.DocTestFinder().find(module, globs=names):
        runner.run(test, out=report.append)
    assert runner.failures == 0, "".join(report)


@pytest.mark.parametrize("value", list(public()))
def test_what_is_public_has_an_example(value):
    docstring = inspect.cleandoc(value.__doc__ or "")
    assert docstring, "no docstring"
    assert ">>> " in docstring or "```python" in docstring, "no example"
