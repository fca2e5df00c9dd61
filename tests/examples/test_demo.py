"""The demo holds what it promises."""

import re
import subprocess
import sys

import pytest

from keras_staa import zoo
from tests.real import ROOT


@pytest.mark.slow
@pytest.mark.once
def test_the_demo(tmp_path):
    pytest.importorskip("sklearn")
    pytest.importorskip("skimage")
    demo = ROOT / "examples" / "demo.py"
    done = subprocess.run([sys.executable, demo], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    said = done.stdout
    guesses = re.findall(r"^   (\w+) +([01]\.\d{3})$", said, re.MULTILINE)[:3]
    names = zoo.describe("cifar10")["class_names"]
    assert len(guesses) == 3 and all(name in names for name, _ in guesses)
    assert float(guesses[0][1]) >= float(guesses[1][1]) >= float(guesses[2][1])
    found = dict(
        re.findall(r"^   (pretrained|the same|logistic).* (\d+\.\d)%$", said, re.MULTILINE)
    )
    assert len(found) == 3
    pretrained = float(found.pop("pretrained"))
    assert pretrained >= 90.0 and all(pretrained > float(other) + 2 for other in found.values())
    rates = [float(rate) for rate in re.findall(r"^   \w+ +([01]\.\d{3})$", said, re.MULTILINE)[3:]]
    assert len(rates) >= 3 and all(0.005 < rate < 0.9 for rate in rates)
    assert "predictions are equal: True" in said
    assert not list(tmp_path.iterdir())
