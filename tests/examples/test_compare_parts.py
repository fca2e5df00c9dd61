"""The comparison of the aggregator's parts: its networks, its table, and a run from end to end."""

import csv
import re
import subprocess
import sys

import keras
import numpy as np
import pytest

from tests.real import ROOT

SCRIPT = ROOT / "examples" / "compare_parts.py"
RESULTS = ROOT / "docs" / "measurements" / "parts"


def run(*arguments):
    command = [sys.executable, SCRIPT, *arguments]
    words = [str(word) for word in command]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


jax_only = pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="An epoch as one program is JAX's."
)


@jax_only
def test_each_network_has_one_part_more(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "examples")
    import compare_parts

    from keras_staa import STAACompact
    from keras_staa.layers import LIF, STAA, flatten_layers

    found = []
    for attention in compare_parts.PARTS.values():
        layers = flatten_layers(STAACompact(width=4, steps=2, attention=attention))
        parts = [layer for layer in layers if isinstance(layer, STAA)]
        assert any(isinstance(layer, LIF) for layer in layers)
        found.append(
            {
                (p.context is not None, p.position is not None, p.step_attention is not None)
                + (p.bypass_rate,)
                for p in parts
            }
        )
    assert found == [
        set(),
        {(True, False, False, 0.0)},
        {(True, True, False, 0.0)},
        {(True, True, True, 0.0)},
        {(True, True, True, 0.1)},
    ]


@jax_only
def test_the_table_in_the_documentation_is_that_of_the_results():
    printed = run("--out", RESULTS, "--table").strip()
    assert printed in (ROOT / "docs" / "paper.md").read_text()
    with open(RESULTS / "results.csv") as file:
        rows = [row for row in csv.DictReader(file) if row["network"] == "baseline"]
    found = 100 * np.array([float(row["accuracy"]) for row in rows])
    line = f"| baseline | {found.mean():.2f} ± {found.std(ddof=1):.2f} % | {len(found)} |"
    assert line in printed


@pytest.mark.slow
@pytest.mark.release
@jax_only
def test_a_comparison_resumes(tmp_path):
    labels = np.arange(32) % 10
    images = np.random.default_rng(0).integers(0, 256, (32, 32, 32, 3)).astype("uint8")
    data = {"x_train": images, "y_train": labels, "x_test": images, "y_test": labels}
    np.savez(tmp_path / "all.npz", **data)
    words = "--npz", tmp_path / "all.npz", "--out", tmp_path, "--width", 4, "--epochs", 1
    words = (*words, "--batch-size", 16, "--steps", 2)
    first = run(*words, "--seeds", 1)
    again = run(*words, "--seeds", 2)
    assert len(re.findall("seed 0 accuracy", first)) == 5
    assert len(re.findall("seed 1 accuracy", again)) == 5 and "seed 0" not in again
    with open(tmp_path / "results.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["seed"] for row in rows] == ["0"] * 5 + ["1"] * 5
    assert len({row["network"] for row in rows}) == 5
