"""What `import keras_staa` draws in besides what `import keras` does."""

import importlib
import operator
import pkgutil
import subprocess
import sys

import keras
import pytest

import keras_staa

HEAVY = {"tensorflow", "tensorflow_datasets", "tonic", "matplotlib", "keras_cv", "PIL", "sklearn"}


def imported_by(statement):
    """The top-level modules that a fresh interpreter has after a statement."""
    code = f"import sys; {statement}; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.fixture(scope="module")
def of_keras():
    return imported_by("import keras")


def test_no_heavy_library_is_imported(of_keras):
    modules = imported_by("import keras_staa, keras_staa.data")
    # Else the interpreter looked at is not the one meant.
    assert {"keras", "keras_staa", keras.backend.backend()} <= modules
    assert (modules - of_keras) & HEAVY == set()
    assert modules & {"tensorflow_datasets", "tonic", "keras_cv"} == set()
    if keras.backend.backend() != "tensorflow":
        assert "tensorflow" not in modules


def test_no_module_is_hidden_by_a_function_of_its_name():
    names = [info.name for info in pkgutil.walk_packages(keras_staa.__path__, "keras_staa.")]
    modules = {n: importlib.import_module(n) for n in names if not n.endswith("__main__")}
    for name, module in modules.items():
        path = name.removeprefix("keras_staa.")
        assert operator.attrgetter(path)(keras_staa) is module, name
