"""Folders that appear whole or not at all, while others make them and after kills."""

import signal
import subprocess
import sys
import threading

import pytest

from keras_staa.new_folder import new_folder

pytestmark = pytest.mark.once

KILLED = """
import pathlib, sys, time
from keras_staa.new_folder import new_folder
with new_folder(pathlib.Path(sys.argv[1])) as partial:
    (partial / "a.txt").write_text("a")
    print("inside", flush=True)
    time.sleep(60)
"""


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def killed(folder):
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout.readline() == "inside\n"
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()


def test_it_appears_whole_or_not_at_all(tmp_path):
    with new_folder(tmp_path / "deep" / "set") as partial:
        (partial / "a.txt").write_text("a")
        assert "set" not in names(tmp_path / "deep")
    assert names(tmp_path / "deep") == ["set"] and names(tmp_path / "deep" / "set") == ["a.txt"]
    with pytest.raises(RuntimeError), new_folder(tmp_path / "other") as partial:
        (partial / "a.txt").write_text("a")
        raise RuntimeError
    assert names(tmp_path) == ["deep"]


def test_the_second_of_two_waits_and_finds_it_there(tmp_path):
    errors = []

    def second():
        try:
            with new_folder(tmp_path / "set") as partial:
                (partial / "b.txt").write_text("b")
        except ValueError as error:
            errors.append(str(error))

    thread = threading.Thread(target=second)
    with new_folder(tmp_path / "set") as partial:
        thread.start()
        thread.join(0.2)
        assert thread.is_alive()
        (partial / "a.txt").write_text("a")
    thread.join()
    wanted = f"`folder` must not exist yet. Received: folder={str(tmp_path / 'set')!r}"
    assert errors == [wanted]
    assert names(tmp_path) == ["set"] and names(tmp_path / "set") == ["a.txt"]


@pytest.mark.parametrize("name", ["set", "another"])
def test_what_a_kill_left_is_removed(tmp_path, name):
    killed(tmp_path / "set")
    assert "set" not in names(tmp_path) and len(names(tmp_path)) == 2
    with new_folder(tmp_path / name) as partial:
        assert names(partial) == []
        # One that another makes meanwhile stays.
        with new_folder(tmp_path / "third") as other:
            assert partial.exists() and other.exists()
    assert names(tmp_path) == sorted([name, "third"])
