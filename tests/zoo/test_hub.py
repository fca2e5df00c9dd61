"""Presets on a Hub that a server on this computer plays."""

import json
import os
import subprocess
import sys

import pytest
import yaml

from keras_staa import presets, zoo
from tests.zoo import server as faults

pytestmark = pytest.mark.once
huggingface_hub = pytest.importorskip("huggingface_hub")
COMMITS = {"main": "1" * 40, "v1": "2" * 40}
LOAD = """
import sys
from keras_staa import presets
print(presets.find(sys.argv[1]))
"""
PUSH = """
import sys
from keras_staa import zoo
print(sorted(zoo.push(sys.argv[1], sys.argv[2])))
"""


class Hub:
    """A server that answers like the Hub for the repository `me/tiny`, as it is in a folder."""

    def __init__(self, server, folder):
        self.server, self.commits, self.uploads = server, dict(COMMITS), []
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
        for commit in COMMITS.values():
            for name, content in files.items():
                server.files[f"/me/tiny/resolve/{commit}/{name}"] = content
        listed = [
            {"type": "file", "path": n, "size": len(c), "oid": "0" * 40} for n, c in files.items()
        ]
        for branch, commit in COMMITS.items():
            info = {"id": "me/tiny", "sha": commit, "siblings": [{"rfilename": n} for n in files]}
            for name in (branch, commit):
                server.files[f"/api/models/me/tiny/revision/{name}"] = json.dumps(info).encode()
                server.files[f"/api/models/me/tiny/tree/{name}"] = json.dumps(listed).encode()
        server.files["/api/models/me/tiny"] = server.files["/api/models/me/tiny/revision/main"]


@pytest.fixture
def hub(preset):
    with faults.running() as server:
        yield Hub(server, preset)


def run(code, hub, tmp_path, *arguments):
    own = {"HF_ENDPOINT": hub.server.url, "KERAS_STAA_HOME": str(tmp_path / "home")}
    own |= {"HF_HOME": str(tmp_path / "hf"), "HF_TOKEN": "hf_none", "HF_HUB_DISABLE_XET": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **own},
    )
    return done.stdout.strip(), done.stderr


def test_a_preset_of_the_hub(hub, preset, tmp_path):
    found, error = run(LOAD, hub, tmp_path, "hf://me/tiny")
    assert found, error
    assert found.startswith(str(tmp_path / "home")) and COMMITS["main"] in found
    assert zoo.describe(found) == zoo.describe(preset)
    older, error = run(LOAD, hub, tmp_path, "hf://me/tiny@v1")
    assert COMMITS["v1"] in older, error
    # Without a connection it is what came last.
    hub.server.files.clear()
    hub.server.server_close()
    assert run(LOAD, hub, tmp_path, "hf://me/tiny")[0] == found


@pytest.mark.slow
def test_what_the_hub_has_not(hub, tmp_path):
    _, error = run(LOAD, hub, tmp_path, "hf://me/other")
    assert "OSError: hf://me/other could not be downloaded" in error
    _, error = run(LOAD, hub, tmp_path, "hf://me/tiny@v9")
    assert "OSError: hf://me/tiny@v9 could not be downloaded" in error
    for path in list(hub.server.files):
        if path.endswith("model.weights.h5"):
            del hub.server.files[path]
        elif "/tree/" in path:
            listed = [e for e in json.loads(hub.server.files[path]) if "weights" not in e["path"]]
            hub.server.files[path] = json.dumps(listed).encode()
    _, error = run(LOAD, hub, tmp_path, "hf://me/tiny")
    assert "hf://me/tiny must hold a preset, but has no model.weights.h5" in error, error


@pytest.mark.parametrize("address", ["hf://", "hf://tiny", "hf://a/b/c", "hf://a/b@", "hf://a b/c"])
def test_addresses_that_are_none(address):
    with pytest.raises(ValueError, match=r"must be hf://owner/repository"):
        presets.find(address)
    with pytest.raises(ValueError, match=r"must be hf://owner/repository"):
        zoo.push("cifar10", address, dry_run=True)


def test_a_dry_run_of_a_push():
    files = zoo.push("cifar10", "hf://me/cifar10", dry_run=True)
    folder = presets.find("cifar10")
    assert {n: c for n, c in files.items() if n != "README.md"} == {
        path.name: path.read_bytes() for path in folder.iterdir()
    }
    text = files["README.md"].decode()
    card = huggingface_hub.ModelCard(text)
    (result,) = card.data.eval_results
    said = zoo.describe("cifar10")
    assert result.metric_value == said["accuracy"]["value"]
    assert (result.dataset_type, result.metric_type) == ("uoft-cs/cifar10", "accuracy")
    header = yaml.safe_load(text.split("---")[1])
    assert header["license"] == "apache-2.0" and header["library_name"] == "keras"
    assert header["datasets"] == ["uoft-cs/cifar10"]
    assert 'keras_staa.zoo.load("hf://me/cifar10")' in text
    assert presets.open_preset("cifar10").card().strip() in text


def test_a_card_of_a_preset_without_accuracy_and_with_another_license(preset, tmp_path):
    from tests.zoo.support import saved

    folder = saved(tmp_path / "own", licence="My License")
    card = huggingface_hub.ModelCard(
        zoo.push(folder, "hf://me/own", dry_run=True)["README.md"].decode()
    )
    assert card.data.license == "other" and card.data.license_name == "My License"
    assert not card.data.eval_results


def test_a_damaged_preset_is_not_pushed(copy):
    (copy / "model.weights.h5").write_bytes(b"no weights")
    with pytest.raises(ValueError, match="is damaged or was changed"):
        zoo.push(copy, "hf://me/tiny", dry_run=True)


def test_a_hub_that_refuses(hub, preset, tmp_path):
    _, error = run(PUSH, hub, tmp_path, str(preset), "hf://me/tiny")
    assert "OSError: hf://me/tiny did not take the preset" in error
