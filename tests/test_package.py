"""The wheel holds the presets, and works where there is nothing of the checkout."""

import json
import os
import subprocess
import sys
import tarfile
import zipfile

import keras
import pytest

from keras_staa import presets
from tests.real import ROOT

pytestmark = pytest.mark.once

USE = """
import json, keras, numpy, keras_staa
x = numpy.random.default_rng(0).random((4, 32, 32, 3)).astype("float32")
result = keras_staa.zoo.load("cifar10").predict(x, verbose=0)
print(json.dumps({"file": keras_staa.__file__, "names": keras_staa.zoo.list_models(),
                  "result": result.tolist()}))
"""


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    pytest.importorskip("build")
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT)
    (path,) = folder.glob("*.whl")
    return path


def test_every_preset_is_in_the_wheel(wheel):
    inside = set(zipfile.ZipFile(wheel).namelist())
    for name in presets.names():
        for file in (presets.DESCRIPTION, presets.WEIGHTS, presets.CARD, presets.HISTORY):
            assert f"keras_staa/zoo/presets/{name}/{file}" in inside
    assert {"keras_staa/zoo/presets/aliases.json", "keras_staa_command.py"} <= inside
    assert not [name for name in inside if name.startswith(("tests/", "examples/"))]


@pytest.mark.slow
def test_the_wheel_works_in_another_environment_without_a_network(wheel, tmp_path):
    """A new environment that borrows the installed dependencies, but not this project."""
    environment = tmp_path / "environment"
    run(sys.executable, "-m", "venv", environment)
    python = environment / "bin" / "python"
    offline = ("--no-index", "--no-deps", "--disable-pip-version-check")
    run(python, "-m", "pip", "install", "-q", *offline, wheel)
    site = run(sys.executable, "-c", "import keras; print(keras.__path__[0])").strip()
    own = run(python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])").strip()
    # Behind the environment's own packages, and without the editable installation's `.pth`.
    path = f"{own}:{site.removesuffix('/keras')}"
    variables = {"PYTHONPATH": path, "KERAS_BACKEND": keras.backend.backend(), "PATH": ""}
    said = json.loads(run(python, "-c", USE, cwd=tmp_path, env=variables).splitlines()[-1])
    assert said["file"].startswith(str(environment))
    assert said["names"] == presets.names()
    here = json.loads(run(sys.executable, "-c", USE, cwd=ROOT).splitlines()[-1])
    assert said["result"] == here["result"]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    """The source distribution, unpacked away from the checkout."""
    pytest.importorskip("build")
    folder = tmp_path_factory.mktemp("sdist")
    run(sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", folder, ROOT)
    (path,) = folder.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        archive.extractall(folder, filter="data")
    return folder / path.name.removesuffix(".tar.gz")


def test_the_source_distribution_has_what_its_tests_need(unpacked):
    for name in ("tests", "examples", "benchmarks", "zoo", "docs"):
        here = {p.relative_to(ROOT) for p in (ROOT / name).rglob("*.*") if p.suffix != ".pyc"}
        there = {p.relative_to(unpacked) for p in (unpacked / name).rglob("*.*")}
        assert here and here <= there
    for name in ("Makefile", "requirements-test.txt", "keras_staa_command.py", "pyproject.toml"):
        assert (unpacked / name).read_bytes() == (ROOT / name).read_bytes()


@pytest.mark.slow
def test_the_source_distribution_runs_its_own_tests(unpacked):
    variables = {**os.environ, "PYTHONPATH": str(unpacked)}
    tests = ["tests/test_losses.py", "tests/test_readme.py", "tests/benchmarks"]
    command = [sys.executable, "-m", "pytest", "-v", "-m", "not slow", *tests]
    assert "PASSED" in run(*command, "-v", cwd=unpacked, env=variables)
    run(sys.executable, "-m", "pytest", "--collect-only", "-q", cwd=unpacked, env=variables)
