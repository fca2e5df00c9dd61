"""A run that goes on from a checkpoint is the run that was never stopped."""

import keras
import numpy as np
import pytest

from keras_staa.callbacks import Checkpoint

X = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
Y = X @ np.array([[1.0], [-2.0], [0.5], [3.0]], "float32")


def model(*more):
    keras.utils.set_random_seed(1)
    network = keras.Sequential([keras.Input((4,)), *more, keras.layers.Dense(1)])
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 16)
    network.compile(keras.optimizers.SGD(schedule, momentum=0.9), "mse")
    return network


def fit(network, epochs, folder, *more):
    checkpoint = Checkpoint(folder)
    first = checkpoint.restore(network)
    network.fit(
        X,
        Y,
        batch_size=8,
        shuffle=False,
        epochs=epochs,
        initial_epoch=first,
        callbacks=[checkpoint, *more],
        verbose=0,
    )
    return first


def test_weights_momentum_and_schedule_go_on(tmp_path):
    whole = model()
    assert fit(whole, 4, tmp_path / "whole") == 0
    assert fit(model(), 2, tmp_path / "parts") == 0
    second = model()
    assert fit(second, 4, tmp_path / "parts") == 2
    for got, wanted in zip(second.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)
    assert int(second.optimizer.iterations.numpy()) == 16
    assert [path.name for path in (tmp_path / "parts").iterdir()] == ["epoch-4.weights.h5"]
    assert fit(model(), 4, tmp_path / "parts") == 4


def test_random_generators_go_on(tmp_path):
    """Dropout of a run that goes on drops what it would have dropped."""

    def network():
        return model(keras.layers.Dropout(0.5, seed=3), keras.layers.GaussianDropout(0.3, seed=4))

    whole, second = network(), network()
    fit(whole, 4, tmp_path / "whole")
    fit(network(), 2, tmp_path / "parts")
    fit(second, 4, tmp_path / "parts")
    for got, wanted in zip(second.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


def test_a_checkpoint_without_random_generators_is_restored(tmp_path):
    network = model()
    network.optimizer.build(network.trainable_variables)
    network.save_weights(tmp_path / "epoch-3.weights.h5")
    second = model(keras.layers.Dropout(0.5, seed=3))
    assert Checkpoint(tmp_path).restore(second) == 3
    for got, wanted in zip(second.get_weights(), network.get_weights(), strict=True):
        np.testing.assert_array_equal(got, wanted)


class Killed(Exception):
    pass


def test_what_a_kill_leaves_half_written_is_not_used(tmp_path, monkeypatch):
    whole = model()
    fit(whole, 3, tmp_path / "whole")
    network = model()
    save = network.save_weights

    def half(path, **options):
        save(path, **options)
        if int(network.optimizer.iterations.numpy()) == 8:
            path.write_bytes(path.read_bytes()[:100])
            raise Killed

    monkeypatch.setattr(network, "save_weights", half)
    with pytest.raises(Killed):
        fit(network, 3, tmp_path / "run")
    again = model()
    assert fit(again, 3, tmp_path / "run") == 1
    np.testing.assert_allclose(again.get_weights()[0], whole.get_weights()[0], rtol=1e-5)


def test_a_first_checkpoint_half_written_is_no_checkpoint(tmp_path):
    (tmp_path / "partial.weights.h5").write_bytes(b"half")
    assert fit(model(), 1, tmp_path) == 0


def test_an_uncompiled_model_is_refused(tmp_path):
    network = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    with pytest.raises(ValueError, match="`model` must be compiled"):
        Checkpoint(tmp_path).restore(network)
