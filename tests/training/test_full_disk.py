"""A run whose disk is full stops with an error, its last checkpoint is whole, and it resumes."""

import os
import subprocess
import sys
import textwrap

import pytest

from tests.real import ROOT
from tests.training.support import pictures, recipe_of

pytest.importorskip("resource")
# Files end at so many bytes from the third checkpoint on, as on a disk that is full.
PROGRAM = """
    import pathlib, resource, sys
    import numpy as np
    from keras_staa import callbacks, training, zoo

    recipe, folder = training.load_recipe(sys.argv[1]), pathlib.Path(sys.argv[2])
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    save, saved = callbacks.Checkpoint._save, []

    def limited(self, *args):
        saved.append(args)
        limit = hard if len(saved) < 3 else 5000
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            save(self, *args)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))

    callbacks.Checkpoint._save = limited
    try:
        training.train(recipe, folder / "cut", verbose=0)
    except OSError as error:
        print("OSError", error.errno)
    print(sorted(path.name for path in (folder / "cut" / "checkpoints").iterdir()))
    print((folder / "cut" / "log.txt").read_text().splitlines()[-1])
    callbacks.Checkpoint._save = save
    for name in ("cut", "whole"):
        training.train(recipe, folder / name, verbose=0)
    networks = [zoo.load(folder / name / "compact_w4_t2.colors") for name in ("cut", "whole")]
    weights = [network.get_weights() for network in networks]
    print(all(np.array_equal(*pair) for pair in zip(*weights, strict=True)))
"""


@pytest.mark.slow
def test_a_run_on_a_full_disk(tmp_path):
    recipe = recipe_of(pictures(tmp_path / "colors"))
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), str(recipe), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    error, files, log, equal = done.stdout.splitlines()
    assert error == "OSError 27"
    # After two steps and after the epoch; no part of the third is left.
    assert files == "['epoch-0-step-2.weights.h5', 'epoch-0-step-4.weights.h5']"
    assert "ERROR OSError" in log
    assert equal == "True"
