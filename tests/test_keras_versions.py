"""The lowest Keras that pyproject.toml allows and the newest one pass the tests at the core."""

import os
import re
import subprocess
import sys
import tomllib

import keras
import pytest

from tests.real import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.once]

CORE = ["tests/test_keras.py", "tests/models/test_network.py", "tests/models/test_outside.py"]
CORE += ["tests/layers/test_contract.py", "tests/zoo/test_load.py"]


def lowest():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    (bound,) = (d for d in project["dependencies"] if d.startswith("keras>="))
    return bound.removeprefix("keras>=")


@pytest.mark.parametrize("wanted", [f"keras=={lowest()}", "keras"], ids=["lowest", "newest"])
def test_the_core_on_another_keras(wanted, tmp_path):
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", tmp_path]
    done = subprocess.run([*pip, wanted], capture_output=True, text=True)
    assert done.returncode == 0, f"{wanted} could not be installed: {done.stderr[-2000:]}"
    version = next(tmp_path.glob("keras-*.dist-info")).name.split("-")[1].removesuffix(".dist")
    if version == keras.__version__:
        # All tests run with it.
        return
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    asked = [sys.executable, "-c", "import keras; print(keras.__version__)"]
    found = subprocess.run(asked, capture_output=True, text=True, env=environment, cwd=ROOT)
    assert found.stdout.split() == [version], found.stderr[-2000:]
    command = [sys.executable, "-m", "pytest", "-m", "not slow", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, *CORE], capture_output=True, text=True, env=environment, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert re.search(r"\b[1-9]\d* passed", done.stdout), done.stdout[-4000:]
