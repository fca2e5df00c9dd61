"""What a checkpoint holds, that it is whole, and what is refused."""

import os

import h5py
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


def names(folder):
    return sorted(path.name for path in folder.iterdir())


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
    assert names(tmp_path / "parts") == ["epoch-3.weights.h5", "epoch-4.weights.h5"]
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
    with pytest.warns(UserWarning, match="has no checksum"):
        assert Checkpoint(tmp_path).restore(second) == 3
    for got, wanted in zip(second.get_weights(), network.get_weights(), strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_a_file_half_written_is_no_checkpoint(tmp_path):
    fit(model(), 1, tmp_path)
    (tmp_path / "epoch-2.weights.h5.partial").write_bytes(b"half")
    assert fit(model(), 1, tmp_path) == 1
    # Of a process that was killed; the next checkpoint takes it away.
    fit(model(), 3, tmp_path)
    assert names(tmp_path) == ["epoch-2.weights.h5", "epoch-3.weights.h5"]


def weights(network):
    return [value.tobytes() for value in network.get_weights()]


def test_save_freq_writes_within_epochs_and_keeps_two(tmp_path):
    seen = []

    class Look(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(names(tmp_path))

    # Four steps in an epoch; those after the last checkpoint count.
    checkpoint = Checkpoint(tmp_path, save_freq=3)
    options = {"batch_size": 8, "shuffle": False, "epochs": 2, "verbose": 0}
    model().fit(X, Y, callbacks=[checkpoint, Look()], **options)
    first, second = "epoch-0-step-3.weights.h5", "epoch-1-step-3.weights.h5"
    end, last = "epoch-1.weights.h5", "epoch-2.weights.h5"
    assert seen == [[], [], [first], [first], *[[first, end]] * 2, *[sorted([second, end])] * 2]
    assert names(tmp_path) == sorted([second, last])


def test_a_checkpoint_is_a_file_of_weights(tmp_path):
    network, second = model(), model()
    fit(network, 1, tmp_path)
    second.load_weights(tmp_path / "epoch-1.weights.h5")
    assert weights(second) == weights(network)


@pytest.mark.parametrize("where", ["weights", "optimizer"])
def test_what_is_not_finite_is_refused_and_the_last_good_one_stays(where, tmp_path):
    class Break(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                part = self.model.weights if where == "weights" else self.model.optimizer.variables
                variable = [v for v in part if tuple(v.shape) == (4, 1)][0]
                variable.assign(np.full((4, 1), np.nan, "float32"))

    with pytest.raises(ValueError, match="`model` must have finite weights.*kernel"):
        fit(model(), 4, tmp_path, Break())
    assert names(tmp_path) == ["epoch-1.weights.h5", "epoch-2.weights.h5"]
    network = model()
    assert Checkpoint(tmp_path).restore(network) == 2
    assert all(np.isfinite(value).all() for value in network.get_weights())


def test_terminate_on_nan_still_ends_fit(tmp_path):
    checkpoint, stop = Checkpoint(tmp_path), keras.callbacks.TerminateOnNaN()
    with pytest.warns(UserWarning, match="must have finite weights"):
        model().fit(X, Y * np.nan, epochs=2, callbacks=[checkpoint, stop], verbose=0)
    assert not names(tmp_path)


def test_each_flipped_bit_is_seen_and_the_one_before_is_restored(tmp_path):
    network = model(keras.layers.Dropout(0.1))
    fit(network, 1, tmp_path)
    before = weights(network)
    fit(network, 2, tmp_path)
    path = tmp_path / "epoch-2.weights.h5"
    content = path.read_bytes()
    places = np.random.default_rng(0).integers(0, 8 * len(content), 100)
    # The last bit of all as well, which is of the checksum.
    for place in [*places, 8 * len(content) - 8]:
        damaged = bytearray(content)
        damaged[place // 8] ^= 1 << (place % 8)
        path.write_bytes(damaged)
        again = model(keras.layers.Dropout(0.1))
        with pytest.warns(UserWarning, match="checksum"):
            done = Checkpoint(tmp_path).restore(again)
        # A flip in the words before the checksum leaves the content whole.
        assert weights(again) == (before if done == 1 else weights(network))
        assert done == 1 or content.rfind(b"keras-staa checkpoint") <= place // 8
    path.write_bytes(content)
    assert Checkpoint(tmp_path).restore(again) == 2


@pytest.mark.parametrize("size", [0, 100, 5000, -1, -200])
def test_a_truncated_one_is_seen(size, tmp_path):
    network = model()
    fit(network, 2, tmp_path)
    path = tmp_path / "epoch-2.weights.h5"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.warns(UserWarning):
        assert Checkpoint(tmp_path).restore(model()) == (2 if size == -1 else 1)


def test_the_run_behind_a_damaged_one_replaces_it(tmp_path):
    whole = model()
    fit(whole, 3, tmp_path / "whole")
    fit(model(), 2, tmp_path / "run")
    path = tmp_path / "run" / "epoch-2.weights.h5"
    path.write_bytes(path.read_bytes()[:-9000])
    again = model()
    with pytest.warns(UserWarning, match="is damaged.*The checkpoint before it is tried"):
        assert fit(again, 3, tmp_path / "run") == 1
    assert weights(again) == weights(whole)
    assert names(tmp_path / "run") == ["epoch-2.weights.h5", "epoch-3.weights.h5"]


def test_without_one_that_is_whole_nothing_begins_anew_unasked(tmp_path):
    fit(model(), 2, tmp_path)
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:1000])
    with (
        pytest.warns(UserWarning),
        pytest.raises(ValueError, match="`folder` must hold an undamaged"),
    ):
        Checkpoint(tmp_path).restore(model())


def compiled(optimizer="sgd", activation="relu", units=3, last=1, **more):
    keras.utils.set_random_seed(1)
    inner = keras.layers.Dense(units, activation)
    network = keras.Sequential([keras.Input((4,)), inner, keras.layers.Dense(last)])
    network.compile(optimizer, "mse", **more)
    return network


OTHERS = {
    "width": {"units": 4},
    "activation": {"activation": "tanh"},
    "optimizer": {"optimizer": "adam"},
    "momentum": {"optimizer": keras.optimizers.SGD(0.01, momentum=0.9)},
    "nesterov": {"optimizer": keras.optimizers.SGD(0.01, nesterov=True)},
    "schedule": {"optimizer": keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, 9))},
}


@pytest.mark.parametrize("other", OTHERS)
def test_another_network_or_optimizer_is_refused(other, tmp_path):
    fit(compiled(), 1, tmp_path)
    network = compiled(**OTHERS[other])
    before = weights(network)
    what = "model" if other in ("width", "activation") else "model.optimizer"
    with pytest.raises(ValueError, match=f"`{what}` must be the .* of the checkpoint.*here"):
        Checkpoint(tmp_path).restore(network)
    assert weights(network) == before


def test_a_network_with_a_layer_more_is_refused(tmp_path):
    fit(model(), 1, tmp_path)
    with pytest.raises(ValueError, match="`model` must be the network of the checkpoint"):
        Checkpoint(tmp_path).restore(model(keras.layers.Dropout(0.5)))


def test_another_learning_rate_and_other_names_are_the_same_run(tmp_path):
    fit(compiled(keras.optimizers.SGD(0.1)), 1, tmp_path)
    network = compiled(keras.optimizers.SGD(0.3, name="other"))
    assert Checkpoint(tmp_path).restore(network) == 1
    # It is part of the state that the optimizer had.
    assert float(network.optimizer.learning_rate) == pytest.approx(0.1)


def test_a_full_disk_is_an_error_and_the_last_one_stays(tmp_path, monkeypatch):
    fit(model(), 1, tmp_path)

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        fit(model(), 2, tmp_path)
    assert names(tmp_path) == ["epoch-1.weights.h5"]


def test_values_that_are_not_finite_in_a_file_are_damage(tmp_path):
    network = model()
    network.optimizer.build(network.trainable_variables)
    network.save_weights(tmp_path / "epoch-1.weights.h5")
    network.save_weights(tmp_path / "epoch-2.weights.h5")
    with h5py.File(tmp_path / "epoch-2.weights.h5", "r+") as file:
        file["layers/dense/vars/0"][0] = np.nan
    with pytest.warns(UserWarning, match="values that are not finite"):
        assert Checkpoint(tmp_path).restore(model()) == 1


def test_an_uncompiled_model_is_refused(tmp_path):
    network = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    with pytest.raises(ValueError, match="`model` must be compiled"):
        Checkpoint(tmp_path).restore(network)


@pytest.mark.parametrize("save_freq", [0, -1, 2.5, "batch", True])
def test_save_freq_is_checked(save_freq, tmp_path):
    with pytest.raises(ValueError, match="`save_freq` must be"):
        Checkpoint(tmp_path, save_freq=save_freq)


def test_data_without_set_epoch_are_refused(tmp_path):
    with pytest.raises(ValueError, match="`data` must have a function `set_epoch`"):
        Checkpoint(tmp_path, data=(X, Y))
