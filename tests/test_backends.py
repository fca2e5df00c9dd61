"""Where Keras has no backend that the layers run on, the import says what to set or install."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.once

# Stands for an environment in which these are not installed.
WITHOUT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {absent!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name in {absent!r} else find(name, *more)
"""


def importing(tmp_path, backend=None, absent=(), statement="import keras_staa"):
    """Standard error of an import in a process of its own, without a configuration of Keras."""
    variables = {k: v for k, v in os.environ.items() if k != "KERAS_BACKEND"}
    variables["KERAS_HOME"] = str(tmp_path)
    if backend:
        variables["KERAS_BACKEND"] = backend
    code = WITHOUT.format(absent=tuple(absent)) + statement
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=variables
    )
    assert done.returncode == 1, done.stdout
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize("backend", ["numpy", "openvino"])
def test_a_backend_that_is_not_supported(backend, tmp_path):
    said = importing(tmp_path, backend)
    assert said.startswith("ImportError: keras_staa runs on the backends tensorflow, jax, torch.")
    assert f"Received: '{backend}'" in said
    assert "KERAS_BACKEND=" in said


def test_one_of_the_configuration_file(tmp_path):
    (tmp_path / "keras.json").write_text('{"backend": "numpy"}')
    said = importing(tmp_path)
    assert "runs on the backends tensorflow, jax, torch. Received: 'numpy'" in said


def test_without_tensorflow_and_without_a_choice(tmp_path):
    said = importing(tmp_path, absent=["tensorflow", "jax"])
    assert said.startswith("ImportError: Keras is set to the backend 'tensorflow'")
    assert "KERAS_BACKEND=torch" in said


def test_a_choice_that_is_not_installed(tmp_path):
    said = importing(tmp_path, "jax", absent=["jax"])
    assert "set to the backend 'jax', which is not installed" in said


def test_without_any(tmp_path):
    said = importing(tmp_path, absent=["tensorflow", "jax", "torch"])
    assert "pip install tensorflow" in said and "none is installed" in said


def test_the_command_line_says_it_in_one_line(tmp_path):
    command = "import keras_staa_command; sys.argv = ['keras-staa', 'predict', 'a.png']; "
    command += "sys.exit(keras_staa_command.main())"
    said = importing(tmp_path, "numpy", statement=command)
    assert said.startswith("keras-staa predict: keras_staa runs on the backends")
