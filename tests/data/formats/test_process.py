"""The process that parses untrusted files, and what stops it."""

import multiprocessing
import os
import signal

import numpy as np
import pytest

from keras_staa.data import formats
from keras_staa.data.formats import process
from tests.data.formats import files

pytestmark = pytest.mark.once


@pytest.fixture
def fresh(monkeypatch):
    monkeypatch.setattr(process, "_idle", [])
    return monkeypatch


def test_one_process_reads_many_files(fresh, tmp_path):
    path = files.write(tmp_path, "h5")
    for _ in range(3):
        formats.read(path)
        (worker,) = process._idle
        started = worker.process.pid
    # Another file of the same name is not taken for the first.
    files.write(tmp_path, "h5", files.events(seed=1))
    np.testing.assert_array_equal(formats.read(path).events, files.events(seed=1))
    assert process._idle[0].process.pid == started


def test_two_files_are_read_at_once(fresh, tmp_path):
    paths = [tmp_path / "a.h5", tmp_path / "b.h5"]
    for seed, path in enumerate(paths):
        files.h5(path, files.events(seed=seed))
    both = [list(pair) for pair in zip(*(formats.chunks(path, 10) for path in paths), strict=True)]
    for seed in range(2):
        events = np.concatenate([pair[seed] for pair in both])
        np.testing.assert_array_equal(events, files.events(seed=seed))


def test_process_ends_with_the_chunks_that_nobody_wants(fresh, tmp_path):
    path = files.write(tmp_path, "h5", files.events(100_000))
    chunks = iter(formats.chunks(path, 100))
    next(chunks)
    before = len(process._idle)
    chunks.close()
    assert before == len(process._idle) == 0


def test_death_of_the_process_names_the_file(fresh, tmp_path):
    path = files.write(tmp_path, "h5")
    formats.read(path)
    os.kill(process._idle[0].process.pid, signal.SIGSTOP)
    fresh.setattr(process, "SECONDS", 0.5)
    with pytest.raises(ValueError, match=rf"{path.name} must be .* read within .*ended with -9"):
        formats.read(path)
    # The next process has to start, which takes its time on a busy machine.
    fresh.setattr(process, "SECONDS", 120)
    assert len(formats.read(path)) == 40


def test_endless_computing_is_stopped(fresh, tmp_path):
    pytest.importorskip("resource")
    pytest.importorskip("scipy")
    (tmp_path / "scipy").mkdir()
    (tmp_path / "scipy" / "__init__.py").write_text("while True: pass")
    path = files.write(tmp_path, "mat")
    fresh.syspath_prepend(tmp_path)
    fresh.setattr(process, "CPU_SECONDS", 0)
    with pytest.raises(ValueError, match=rf"{path.name} must be .*ended with -{signal.SIGXCPU}"):
        formats.read(path)


def test_what_a_library_prints_is_no_answer(fresh, tmp_path):
    pytest.importorskip("scipy")
    (tmp_path / "scipy").mkdir()
    text = "print('hello'); raise ImportError('after it')"
    (tmp_path / "scipy" / "__init__.py").write_text(text)
    path = files.write(tmp_path, "mat")
    fresh.syspath_prepend(tmp_path)
    with pytest.raises(ImportError, match="after it"):
        formats.read(path)


def _read(path, results):
    results.put(len(formats.read(path)))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning")
def test_forked_process_has_its_own(fresh, tmp_path):
    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("no fork on this system")
    path = files.write(tmp_path, "h5")
    formats.read(path)
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    forked = context.Process(target=_read, args=(path, results))
    forked.start()
    assert results.get(timeout=60) == 40
    forked.join(60)
    assert process._idle[0].process.poll() is None
    assert len(formats.read(path)) == 40
