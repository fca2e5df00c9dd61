"""The example of a live camera: a file, a folder and a socket give the same answers."""

import socket
import sys
import threading

import numpy as np
import pytest

from keras_staa.data.formats import DTYPE
from tests.real import ROOT

pytestmark = pytest.mark.once


@pytest.fixture
def example(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "examples")
    import live_events

    return live_events


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """Half a second of events: 16 frames of 30 ms are over, and one is not."""
    rng = np.random.default_rng(0)
    events = np.zeros(20_000, DTYPE)
    events["x"], events["y"] = rng.integers(40, 90, size=(2, len(events)))
    events["p"] = rng.integers(2, size=len(events))
    events["t"] = np.sort(rng.integers(500_000, size=len(events)))
    events["t"][0], events["t"][-1] = 0, 499_999
    path = tmp_path_factory.mktemp("recording") / "all.npy"
    np.save(path, events)
    return path


def answers(example, parts):
    lines = []
    latencies = example.classify("dvs128_objects", parts, (128, 128), lines.append)
    assert len(latencies) == len(lines) and min(latencies) > 0
    # Without the latency.
    return [line.rsplit(" ", 2)[0].split() for line in lines]


def test_three_ways(example, recording, tmp_path):
    expected = answers(example, example.pieces(recording))
    assert [int(line[1]) for line in expected] == [*range(1, 11), *range(1, 7)]

    folder = tmp_path / "incoming"
    folder.mkdir()
    for number, part in enumerate(np.array_split(np.load(recording), 3)):
        np.save(folder / f"{number}.npy", part)
    assert answers(example, example.of_folder(folder, patience=0.2)) == expected

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    sender = []

    def ready():
        sender.append(threading.Thread(target=example.send, args=(port, example.pieces(recording))))
        sender[0].start()

    assert answers(example, example.of_socket(port, ready)) == expected
    sender[0].join()


def test_it_is_played_in_time(example, monkeypatch):
    now, waits = [0.0], []

    def sleep(seconds):
        waits.append(seconds)
        now[0] += seconds

    monkeypatch.setattr(example.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(example.time, "sleep", sleep)
    parts = [np.array([(0, 0, t, 0)], DTYPE) for t in (1_000_000, 1_020_000, 1_050_000)]
    assert len(list(example.in_time(parts))) == 3
    assert waits == pytest.approx([0, 0.02, 0.03])


def test_bad_arguments(example, monkeypatch, capsys):
    for given in ([], ["--send", "5000"], ["--recording", "a", "--folder", "b"], ["--folder", "b"]):
        monkeypatch.setattr(sys, "argv", ["live_events.py", "dvs128_objects", *given])
        with pytest.raises(SystemExit):
            example.main()
        assert "error: " in capsys.readouterr().err
