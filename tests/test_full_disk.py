"""On a full disk saving is an OSError that leaves nothing behind, and the process goes on."""

import os
import subprocess
import sys
import tempfile

import numpy as np
import pytest

from keras_staa import zoo
from tests.real import ROOT
from tests.zoo.support import Tiny, predictions, registered, saved, tiny, values

resource = pytest.importorskip("resource")

# Files end at so many bytes, as on a disk that is full: HDF5 meets the error in its own code.
_SCRIPT = """
import contextlib, pathlib, resource, sys
import keras, numpy as np
from keras_staa import zoo
from keras_staa.callbacks import Checkpoint
from tests.zoo.support import CLASSES, images, predictions, tiny

folder, limit = pathlib.Path(sys.argv[1]), int(sys.argv[2])
model = tiny(width=16)
model.compile("adam", "sparse_categorical_crossentropy")
checkpoint = Checkpoint(folder / "run")
x, y = images(), np.arange(6) % 3
model.fit(x, y, verbose=0, callbacks=[checkpoint])
before = predictions(model)
if limit:
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
else:
    # The folder is a file system of its own; what is left of it is less than a network.
    with contextlib.suppress(OSError), open(folder / "filler", "wb", buffering=0) as filler:
        while filler.write(bytes(1024)):
            pass

def fails(function):
    try:
        function()
    except OSError as error:
        print("OSError", error.errno, flush=True)

save = {"data_set": "noise", "class_names": list(CLASSES), "dtype": "float32"}
fails(lambda: zoo.save(model, folder / "preset", **save))
np.testing.assert_array_equal(predictions(model), before)
fails(lambda: model.fit(x, y, verbose=0, epochs=2, initial_epoch=1, callbacks=[checkpoint]))
predictions(model)
print(sorted(str(p.relative_to(folder)) for p in folder.rglob("*")))
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
else:
    (folder / "filler").unlink()
zoo.save(model, folder / "preset", **save)
model.fit(x, y, verbose=0, epochs=2, initial_epoch=1, callbacks=[checkpoint])
print(sorted(path.name for path in (folder / "run").iterdir()))
"""


# A cache of frames is made on the disk, since it may be larger than memory.
_CACHE = """
import pathlib, resource, sys
import numpy as np
from keras_staa import data
from tests.data.formats import files

folder = pathlib.Path(sys.argv[1])
for label, name in enumerate(("cat", "dog")):
    (folder / "set" / name).mkdir(parents=True)
    for index in range(40):
        files.nmnist(folder / "set" / name / f"{index}.bin", files.events(3000, seed=index))
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

def read():
    return data.events(
        folder / "set", 8, shuffle=False, processes=1, verbose=False, cache_dir=folder / "cache"
    )

from keras_staa.data.cache import store

write = store._write

def limited(*args):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), hard))
    try:
        return write(*args)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))

store._write = limited
try:
    read()
except OSError as error:
    print("OSError", error.errno, "of 80 recordings are done" in str(error), flush=True)
print([path.suffix for path in (folder / "cache").iterdir() if path.suffix in (".h5", ".tmp")])
store._write = write
print(len(read()))
"""


@pytest.mark.once
def test_a_cache_of_frames(tmp_path):
    done = run(tmp_path, 100_000, _CACHE)
    assert done.returncode == 0, (done.returncode, done.stderr)
    assert done.stdout.splitlines() == ["OSError 27 True", "[]", "3"], done.stdout


def run(folder, limit, script=_SCRIPT):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", script, str(folder), str(limit)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)


def check(done, codes, also=()):
    assert done.returncode == 0, (done.returncode, done.stderr)
    lines = done.stdout.splitlines()
    assert [line.split() for line in lines[:2]] == [["OSError", code] for code in codes]
    assert lines[2] == str([*also, "run", "run/epoch-1.weights.h5"])
    assert lines[3] == "['epoch-1.weights.h5', 'epoch-2.weights.h5']"


@pytest.mark.slow
def test_files_that_cannot_grow(tmp_path):
    check(run(tmp_path, 5000), ["27", "27"])


@pytest.mark.slow
def test_a_file_system_that_is_full(tmp_path):
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("file systems cannot be mounted here")
    try:
        check(run(tmp_path, 0), ["28", "28"], also=["filler"])
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_loading_needs_no_temporary_folder(tmp_path, monkeypatch):
    registered(monkeypatch)
    model = tiny()
    folder = saved(tmp_path / "preset", model)
    model.save_weights(tmp_path / "plain.weights.h5")

    def none(*args, **kwargs):
        raise FileNotFoundError("No usable temporary directory found")

    for name in ("mkdtemp", "mkstemp", "gettempdir"):
        monkeypatch.setattr(tempfile, name, none)
    again = zoo.load(folder)
    np.testing.assert_array_equal(predictions(again), predictions(model))
    given = {"classes": 3, "steps": 1, "width": 4, "neuron": {"threshold": 0.3}}
    plain = Tiny(weights=str(tmp_path / "plain.weights.h5"), **given)
    for path, value in values(model).items():
        np.testing.assert_array_equal(values(plain)[path], value, err_msg=path)
