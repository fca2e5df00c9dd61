"""Presets from web servers, zip files and the Hub."""

import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import time
import zipfile

import pytest

from keras_staa import downloads, presets, zoo
from keras_staa.presets import archive
from tests.zoo import server as faults
from tests.zoo.support import predictions

pytestmark = pytest.mark.once


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    monkeypatch.setattr(downloads, "PAUSE", 0.01)
    monkeypatch.setenv("KERAS_STAA_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def server(preset):
    with faults.running() as found:
        for path in preset.iterdir():
            found.files[f"/zoo/{preset.name}/{path.name}"] = path.read_bytes()
        found.preset = f"{found.url}/zoo/{preset.name}"
        found.weights = f"/zoo/{preset.name}/model.weights.h5"
        yield found


def asked(server, path):
    return sum(found == path for found, _ in server.requests)


def same(address, preset):
    found, expected = predictions(zoo.load(address)), predictions(zoo.load(preset))
    return (found == expected).all()


def test_a_folder_on_a_server_is_downloaded_once(server, preset, home):
    assert same(server.preset, preset) and same(server.preset + "/", preset)
    assert asked(server, server.weights) == 2  # Two addresses.
    assert same(server.preset, preset) and asked(server, server.weights) == 2
    assert zoo.describe(server.preset) == zoo.describe(preset)
    # A preset has its own name, whatever the folder is called.
    assert pathlib.Path(presets.find(server.preset)).is_relative_to(home)


def test_what_was_downloaded_needs_no_server(server, preset):
    folder = presets.find(server.preset)
    server.files.clear()
    assert presets.find(server.preset) == folder and same(server.preset, preset)


def test_a_download_that_broke_off_is_continued_by_the_next_load(server, preset, home):
    server.faults[server.weights] = [faults.cut(3000)] + [faults.says(503)] * 9
    with pytest.raises(OSError, match="3000 bytes are kept"):
        zoo.load(server.preset)
    assert not list(home.glob("web/*/tiny*"))
    server.faults.clear()
    assert same(server.preset, preset)
    assert [start for path, start in server.requests if path == server.weights][-1] == 3000


def test_weights_that_are_not_those_of_the_description_are_refused(server, preset, home):
    right = server.files[server.weights]
    server.files[server.weights] = bytes(len(right))
    for _ in range(2):
        with pytest.raises(OSError, match="must have the sha256"):
            zoo.load(server.preset)
    server.files[server.weights] = right[:-1]
    with pytest.raises(OSError, match=f"must have {len(right)} bytes, but has {len(right) - 1}"):
        zoo.load(server.preset)
    assert not list(home.glob("web/*/tiny*"))
    server.files[server.weights] = right
    assert same(server.preset, preset)


def test_a_hash_in_the_address(server, preset):
    right = hashlib.sha256((preset / "preset.json").read_bytes()).hexdigest()
    assert same(f"{server.preset}#sha256={right}", preset)
    with pytest.raises(OSError, match="must have the sha256 0000"):
        zoo.load(f"{server.preset}#sha256={'0' * 64}")
    with pytest.raises(ValueError, match="may end in #sha256= and 64 hexadecimal digits"):
        zoo.load(f"{server.preset}#md5=12")


def test_a_preset_that_is_not_there(server):
    with pytest.raises(FileNotFoundError, match=r"/zoo/other/preset.json is not there"):
        zoo.load(f"{server.url}/zoo/other")


@pytest.mark.parametrize("content", [b"<html>no preset</html>", b"{}"])
def test_a_page_that_is_no_description(server, preset, content):
    path = f"/zoo/{preset.name}/preset.json"
    right, server.files[path] = server.files[path], content
    with pytest.raises(ValueError, match=r"preset.json must be the description of a preset"):
        zoo.load(server.preset)
    server.files[path] = right
    assert same(server.preset, preset)


def test_redirections_and_a_query(server, preset):
    for name in ("preset.json", "model.weights.h5"):
        server.faults[f"/moved/{name}"] = [faults.leads_to(f"{server.preset}/{name}")]
    assert same(f"{server.url}/moved?download=1", preset)


def test_two_processes_download_once(server, preset, home):
    server.faults[server.weights] = [
        lambda handler, content: (time.sleep(1), handler.answer(content))
    ]
    code = "import sys; from keras_staa import presets; print(presets.find(sys.argv[1]))"
    arguments = [sys.executable, "-c", code, server.preset]
    both = [
        subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
        for _ in range(2)
    ]
    found = {process.communicate()[0].strip() for process in both}
    assert [process.returncode for process in both] == [0, 0]
    assert len(found) == 1 and asked(server, server.weights) == 1
    assert same(found.pop(), preset)


def test_threads_download_once(server, preset):
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(presets.find(server.preset))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1 and len(found) == 4 and asked(server, server.weights) == 1


def zipped(preset, path, folder="", names=None, more=()):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name in names or sorted(p.name for p in preset.iterdir()):
            file.write(preset / name, folder + name)
        for name, content in more:
            file.writestr(name, content)
    return path


def test_a_zip_file(preset, tmp_path, home):
    path = archive.pack(preset, tmp_path / "mine.zip")
    assert same(str(path), preset) and same(path, preset)
    # At the top, beside other files.
    assert same(zipped(preset, tmp_path / "b.zip", more=[("notes/a.txt", "x")]), preset)
    assert not [p for p in home.rglob("*") if p.name == "a.txt"]
    # Another file of the same name is another preset.
    other = archive.pack(shutil.copytree(preset, tmp_path / "other"), tmp_path / "c.zip")
    shutil.move(other, path)
    assert presets.find(path).name == "mine" and same(path, preset)


def test_a_zip_file_on_a_server(server, preset, tmp_path):
    content = archive.pack(preset, tmp_path / "mine.zip").read_bytes()
    server.files["/mine.zip"] = content
    server.faults["/mine.zip"] = [faults.cut(500)]
    address = f"{server.url}/mine.zip#sha256={hashlib.sha256(content).hexdigest()}"
    assert same(address, preset)
    server.files.clear()
    assert same(address, preset)


def test_a_damaged_zip_file_on_a_server(server, preset, tmp_path, home):
    content = archive.pack(preset, tmp_path / "mine.zip").read_bytes()
    server.files["/mine.zip"] = content[: len(content) // 2]
    with pytest.raises(ValueError, match=r"/mine.zip must be a zip file of a preset"):
        zoo.load(f"{server.url}/mine.zip")
    server.files["/mine.zip"] = content
    assert same(f"{server.url}/mine.zip", preset)


def _hostile(preset, tmp_path):
    path, weights = tmp_path / "bad.zip", (preset / "model.weights.h5").read_bytes()
    description = (preset / "preset.json").read_bytes()
    yield "must be a zip file", path.write_bytes(b"no zip") and path
    whole = zipped(preset, path).read_bytes()
    at = whole.index(weights[:4]) if weights[:4] in whole else len(whole) // 2
    yield "must be a zip file", path.write_bytes(whole[:at] + b"xxxx" + whole[at + 4 :]) and path
    yield "Found: 0", zipped(preset, path, names=["model.weights.h5"])
    yield "holds no model.weights.h5", zipped(preset, path, names=["preset.json"])
    yield "Found: 2", zipped(preset, path, "a/", more=[("b/preset.json", description)])
    yield "Found: 0", zipped(preset, path, "../../")
    yield "Found: 0", zipped(preset, path, "/tmp/x/")
    too_long = b" " * (2**22 + 1)
    yield (
        "more than 4194304 bytes",
        zipped(
            preset, path, names=["model.weights.h5"], more=[("preset.json", description + too_long)]
        ),
    )


def test_hostile_zip_files(preset, tmp_path, home):
    for message, path in _hostile(preset, tmp_path):
        with pytest.raises(ValueError, match=message):
            zoo.load(path)
        assert not [p for p in home.rglob("*") if p.is_file()]
    assert {p.name for p in tmp_path.iterdir()} == {"bad.zip", "home"}


def test_names_that_are_nothing():
    for name in ("missing.zip", "no_such_preset"):
        with pytest.raises(ValueError, match=r"a zip file of one, or an address: https://"):
            zoo.load(name)
    with pytest.raises(ValueError, match="name a server"):
        zoo.load("https://")
    with pytest.raises(ValueError, match=r"must begin with https://, or end in #sha256="):
        zoo.load("http://example.org/preset")


def test_the_folder_of_the_cache(monkeypatch, tmp_path):
    from keras_staa.presets import home

    assert home.home() == tmp_path / "home"
    monkeypatch.delenv("KERAS_STAA_HOME")
    monkeypatch.setenv("KERAS_HOME", "/keras")
    assert home.home() == pathlib.Path("/keras/keras-staa")
    for name in ("../../etc", "a/b", "..", "", "x" * 500):
        assert home.place("web", name, "key").parent.parent == home.home() / "web"


def test_a_cached_preset_that_was_changed_is_refused(server):
    folder = presets.find(server.preset)
    said = json.loads((folder / "preset.json").read_text("utf-8"))
    said["sha256"] = "0" * 64
    (folder / "preset.json").write_text(json.dumps(said), "utf-8")
    with pytest.raises(ValueError, match="is damaged or was changed"):
        zoo.load(server.preset)
