"""`callbacks.SpikeMonitor` during `fit`."""

import keras
import numpy as np
import pytest

import keras_staa
from keras_staa import insight
from keras_staa.callbacks import SpikeMonitor
from keras_staa.layers import LIF, MeanOverSteps, PerStep, RepeatSteps


def network(threshold=1.0):
    model = keras.Sequential(
        [
            keras.Input((6,)),
            RepeatSteps(3),
            PerStep(keras.layers.Dense(8, name="in")),
            LIF(name="first", surrogate="sigmoid"),
            PerStep(keras.layers.Dense(8, name="middle", bias_initializer="ones")),
            LIF(name="second", threshold=threshold),
            MeanOverSteps(),
            keras.layers.Dense(2),
        ]
    )
    model.compile(
        keras.optimizers.SGD(0.5),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return rng.normal(0, 2, (24, 6)).astype("float32"), rng.integers(0, 2, 24)


def test_the_history_has_what_a_report_says(data):
    x, y = data
    keras.utils.set_random_seed(0)
    model = network()
    reports = []

    class Report(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            reports.append(insight.report(model, x[:10], verbose=0))

    monitor = SpikeMonitor(x[:10], silent=1.0, saturated=1.0, batch_size=4)
    history = model.fit(x, y, batch_size=8, epochs=3, verbose=0, callbacks=[monitor, Report()])
    for name in ("firing_rate", "silent", "saturated"):
        expected = [getattr(report, name) for report in reports]
        np.testing.assert_allclose(history.history[name], expected, rtol=1e-9)
    for row in (0, 1):
        name = ("first", "second")[row]
        rates = [[r for r in report.layers if r.neurons][row].firing_rate for report in reports]
        np.testing.assert_allclose(monitor.rates[name], rates, rtol=1e-9)
    # The training changed the rates, and went on.
    assert len(set(monitor.rates["first"])) > 1
    assert "accuracy" in history.history and "loss" in history.history


def test_the_training_is_the_same(data):
    x, y = data
    weights = []
    for callbacks in ([], [SpikeMonitor(x[:5])]):
        keras.utils.set_random_seed(0)
        model = network()
        model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0, callbacks=callbacks)
        weights.append(model.get_weights())
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_silent_and_saturated_layers_are_named_once(data):
    x, y = data
    model = network(threshold=1e6)
    with pytest.warns(
        UserWarning, match="'second' in epoch 2: 100.0% silent; .*threshold"
    ) as found:
        model.fit(x, y, epochs=4, verbose=0, callbacks=[SpikeMonitor(x)])
    assert len([w for w in found if "silent" in str(w.message)]) == 1
    model = network(threshold=1e-6)
    model.layers[3].layer.set_weights([np.zeros((8, 8)), np.ones(8)])
    model.trainable = False
    with pytest.warns(UserWarning, match="'second' in epoch 2: 100.0% saturated; .*higher"):
        model.fit(x, y, epochs=2, verbose=0, callbacks=[SpikeMonitor(x)])


def test_one_epoch_is_no_reason_to_warn(data, recwarn):
    x, y = data
    network(threshold=1e6).fit(x, y, epochs=1, verbose=0, callbacks=[SpikeMonitor(x)])
    assert not [w for w in recwarn if "silent" in str(w.message)]


@pytest.mark.parametrize(
    "x, message",
    [
        (np.zeros((2, 5)), r"\(6,\)"),
        (np.zeros((0, 6)), "samples"),
        (np.full((1, 6), np.nan), "fin"),
    ],
)
def test_errors_in_fit(x, message, data):
    with pytest.raises(ValueError, match=message):
        network().fit(*data, verbose=0, callbacks=[SpikeMonitor(x)])


def test_other_errors(data):
    with pytest.raises(ValueError, match="`silent` must be"):
        SpikeMonitor(data[0], silent=2)
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="neurons of this library"):
        model.fit(data[0], data[0][:, :2], verbose=0, callbacks=[SpikeMonitor(data[0])])
    assert keras_staa.callbacks.SpikeMonitor is SpikeMonitor


def test_the_line_of_an_epoch_has_the_firing_rate(data, capsys):
    x, y = data
    model = network()
    model.fit(x, y, epochs=1, verbose=2, callbacks=[SpikeMonitor(x[:4])])
    line = capsys.readouterr().out
    rate = insight.report(model, x[:4], verbose=0).firing_rate
    assert f"firing_rate: {rate:.4f}" in line and "silent: " in line and "saturated: " in line


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorBoard needs TensorFlow.")
def test_tensorboard_has_them(data, tmp_path):
    import tensorflow as tf

    x, y = data
    callbacks = [SpikeMonitor(x[:4]), keras.callbacks.TensorBoard(tmp_path)]
    history = network().fit(x, y, epochs=2, verbose=0, callbacks=callbacks).history
    (file,) = (tmp_path / "train").iterdir()
    found = [
        float(tf.make_ndarray(value.tensor))
        for event in tf.compat.v1.train.summary_iterator(str(file))
        for value in event.summary.value
        if value.tag == "epoch_firing_rate"
    ]
    np.testing.assert_allclose(found, history["firing_rate"], rtol=1e-6)
