"""A run that goes on from a checkpoint is bit for bit the run that was never stopped."""

import os
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_staa import data
from tests.real import ROOT
from tests.resuming import BATCHES, EPOCHS, At, X, Y, fit, network, state

BACKEND = keras.backend.backend()


class Killed(BaseException):
    pass


def killed():
    raise Killed


class Drawing(keras.utils.PyDataset):
    """Noise from NumPy's global generator, in an order that `fit` draws."""

    def __len__(self):
        return BATCHES

    def __getitem__(self, index):
        part = slice(8 * index, 8 * index + 8)
        return X[part] + np.random.normal(0, 0.1, X[part].shape).astype("float32"), Y[part]


def compared(tmp_path, places, save_freq=2, train=lambda: None, **options):
    """Kill a run behind each of the places, one after the other, and let it go on to its end."""
    whole, history = fit(tmp_path / "whole", save_freq, train=train(), **options)
    for place in places:
        with pytest.raises(Killed):
            fit(tmp_path / "parts", save_freq, At(*place, killed), train=train(), **options)
    again, last = fit(tmp_path / "parts", save_freq, train=train(), **options)
    assert state(again) == state(whole)
    for name, values in last.items():
        assert values == history[name][-len(values) :], name
    return len(last["loss"])


@pytest.mark.heavy
def test_from_a_step_within_an_epoch_on(tmp_path):
    # Within the first epoch; behind the step of a checkpoint; behind an epoch; in its last step.
    places = [(0, 3), (1, 2), (1, None), (2, BATCHES)]
    assert compared(tmp_path, places) == 1


def test_from_the_end_of_an_epoch_on(tmp_path):
    assert compared(tmp_path, [(1, 4)], save_freq="epoch") == 2


@pytest.mark.heavy
def test_validation_and_a_last_step_before_it(tmp_path):
    """Killed in the validation: all steps of the epoch are done, and none of the next."""
    options = {"validation_data": (X[:8], Y[:8])}
    whole, history = fit(tmp_path / "whole", 3, **options)

    class InValidation(keras.callbacks.Callback):
        def on_test_begin(self, logs=None):
            raise Killed

    with pytest.raises(Killed):
        fit(tmp_path / "parts", 3, InValidation(), **options)
    again, last = fit(tmp_path / "parts", 3, **options)
    assert state(again) == state(whole) and last == history


@pytest.mark.heavy
def test_a_py_dataset_that_fit_shuffles_and_that_draws(tmp_path):
    compared(tmp_path, [(1, 3)], train=Drawing)


@pytest.mark.skipif(BACKEND == "tensorflow", reason="the docstring says that it is not there")
@pytest.mark.heavy
def test_arrays_that_fit_shuffles(tmp_path):
    compared(tmp_path, [(1, 3)], train=lambda: (X, Y), batch_size=8)


@pytest.mark.heavy
@pytest.mark.skipif(BACKEND == "torch", reason="Keras has one step in an execution on PyTorch.")
def test_several_steps_in_one_execution(tmp_path, monkeypatch):
    made = network

    def several():
        model = made()
        model.steps_per_execution = 4
        return model

    # Six steps: the second execution has two.
    monkeypatch.setattr("tests.resuming.network", several)
    compared(tmp_path, [(1, 8)], save_freq=4)


@pytest.mark.heavy
def test_an_epoch_that_another_callback_stops_is_not_done(tmp_path):
    whole, _ = fit(tmp_path / "whole", "epoch")

    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = batch == 3

    fit(tmp_path / "parts", "epoch", Stop())
    assert [path.name for path in (tmp_path / "parts").iterdir()] == ["epoch-0-step-4.weights.h5"]
    again, history = fit(tmp_path / "parts", "epoch")
    assert state(again) == state(whole) and len(history["loss"]) == EPOCHS


def test_other_data_of_a_resumed_epoch_are_refused(tmp_path):
    with pytest.raises(Killed):
        fit(tmp_path, 4, At(1, 5, killed))
    fewer = data.arrays(X[:24], Y[:24], batch_size=8)
    with pytest.raises(ValueError, match="`fit` must get the data that the checkpoint"):
        fit(tmp_path, 4, train=fewer)


def test_another_initial_epoch_is_refused(tmp_path):
    from keras_staa.callbacks import Checkpoint

    with pytest.raises(Killed):
        fit(tmp_path, "epoch", At(1, 5, killed))
    model, checkpoint = network(), Checkpoint(tmp_path)
    assert checkpoint.restore(model) == 1
    with pytest.raises(ValueError, match="`initial_epoch` must be 1, as `restore` returned"):
        model.fit(X, Y, callbacks=[checkpoint], verbose=0)


def run(*words):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.resuming", *map(str, words)]
    return subprocess.Popen(
        command,
        env=environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_killed_processes(tmp_path):
    """SIGKILL within an epoch, then in the middle of writing a checkpoint, then to the end."""
    whole = run(tmp_path / "whole", "whole")
    digest, errors = whole.communicate(timeout=600)
    assert whole.returncode == 0, errors
    parts = tmp_path / "parts"
    first = run(parts, "step")
    first.communicate(timeout=600)
    assert first.returncode == -signal.SIGKILL
    names = {"epoch-1.weights.h5", "epoch-1-step-3.weights.h5"}
    assert {path.name for path in parts.iterdir()} == names
    second = run(parts, "epoch-2.weights.h5")
    assert second.stdout.readline() == "half\n"
    second.kill()
    second.communicate()
    (half,) = parts.glob("*.partial")
    assert half.name == "epoch-2.weights.h5.partial" and half.stat().st_size > 1000
    last = run(parts, "whole")
    again, errors = last.communicate(timeout=600)
    assert last.returncode == 0, errors
    assert again == digest
    assert not list(parts.glob("*.partial"))
