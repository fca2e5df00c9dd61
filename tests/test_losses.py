"""TET and its accuracy: against NumPy, in training, and their bad input."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_staa import STAAVGG
from keras_staa.losses import TET, Distillation
from keras_staa.metrics import step_accuracy


def reference(labels, logits, regularization=0.0, level=1.0, smoothing=0.0):
    shifted = logits - logits.max(-1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    classes = logits.shape[-1]
    total = []
    for i, label in enumerate(labels):
        target = np.full(classes, smoothing / classes)
        target[label] += 1 - smoothing
        steps = [
            (1 - regularization) * -(target * log_p[i, t]).sum()
            + regularization * ((logits[i, t] - level) ** 2).mean()
            for t in range(logits.shape[1])
        ]
        total.append(np.mean(steps))
    return np.mean(total)


@pytest.mark.parametrize("form", ["labels", "column", "one_hot"])
@pytest.mark.parametrize("arguments", [{}, {"regularization": 0.1, "level": 0.5}])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_value(form, arguments, smoothing):
    rng = np.random.default_rng(0)
    labels, logits = np.array([0, 2, 1]), rng.normal(size=(3, 5, 4)).astype("float32")
    given = {"labels": labels, "column": labels[:, None], "one_hot": np.eye(4)[labels]}[form]
    value = TET(**arguments, label_smoothing=smoothing)(given, logits)
    np.testing.assert_allclose(
        float(value), reference(labels, logits, smoothing=smoothing, **arguments), rtol=1e-5
    )


def test_it_differs_from_the_cross_entropy_of_the_mean():
    label, logits = np.array([0]), np.array([[[4.0, 0.0], [0.0, 4.0]]], "float32")
    of_mean = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(label, logits.mean(1))
    assert float(TET()(label, logits)) > float(of_mean) + 1


def test_accuracy_is_that_of_the_mean():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(50, 3, 4)).astype("float32")
    labels = rng.integers(0, 4, 50)
    expected = logits.mean(1).argmax(-1) == labels
    for given in (labels, np.eye(4)[labels]):
        np.testing.assert_array_equal(ops.convert_to_numpy(step_accuracy(given, logits)), expected)


@pytest.mark.heavy
def test_trains_a_network_and_is_stored_with_it(tmp_path):
    model = STAAVGG(input_shape=(2, 32, 32, 2), width=4, classes=3, step_logits=True)
    model.compile("sgd", TET(0.05, label_smoothing=0.1), metrics=[step_accuracy])
    x = np.random.default_rng(0).random((4, 2, 32, 32, 2), "float32")
    history = model.fit(x, np.array([0, 1, 2, 0]), verbose=0).history
    assert np.isfinite(history["loss"][0]) and 0 <= history["step_accuracy"][0] <= 1
    again = TET.from_config(TET(0.05, 2.0, 0.1).get_config())
    assert (again.regularization, again.level, again.label_smoothing) == (0.05, 2.0, 0.1)


def losses_of_samples(labels, logits, weights):
    """mean_t w[b, t] * CE[b, t], by the reference above on one step at a time."""
    each = [
        [reference([y], x[None, t : t + 1]) for t in range(len(x))]
        for y, x in zip(labels, logits, strict=True)
    ]
    return (np.array(each) * weights).mean(axis=1)


@pytest.mark.parametrize("steps", [3, 5])  # as many as samples, and not
@pytest.mark.parametrize("form", ["samples", "column", "steps"])
def test_sample_weight(form, steps):
    rng = np.random.default_rng(0)
    labels, logits = np.array([0, 2, 1]), rng.normal(size=(3, steps, 4)).astype("float32")
    each = {"samples": (3, 1), "column": (3, 1), "steps": (3, steps)}[form]
    weights = rng.uniform(0, 2, each).astype("float32")
    given = weights[:, 0] if form == "samples" else weights
    expected = losses_of_samples(labels, logits, weights)
    whole = np.broadcast_to(weights, (3, steps))
    for reduction, value in (
        ("none", expected),
        (None, expected),
        ("sum", expected.sum()),
        ("sum_over_batch_size", expected.mean()),
        ("mean_with_sample_weight", expected.sum() / whole.mean(axis=1).sum()),
    ):
        loss = TET(reduction=reduction)(labels, logits, sample_weight=given)
        np.testing.assert_allclose(ops.convert_to_numpy(loss), value, rtol=1e-5)


@pytest.mark.parametrize("reduction", ["none", "sum", "sum_over_batch_size"])
def test_no_weights_are_weights_of_one(reduction):
    rng = np.random.default_rng(1)
    labels, logits = np.array([0, 2, 1]), rng.normal(size=(3, 5, 4)).astype("float32")
    expected = losses_of_samples(labels, logits, 1.0)
    value = {"none": expected, "sum": expected.sum()}.get(reduction, expected.mean())
    loss = TET(reduction=reduction)(labels, logits)
    np.testing.assert_allclose(ops.convert_to_numpy(loss), value, rtol=1e-5)


@pytest.mark.parametrize("shape", [(5,), (4,), (5, 3), (3, 4), (1, 5), (3, 5, 1)])
def test_weights_of_another_shape_are_refused(shape):
    logits = np.zeros((3, 5, 4), "float32")
    with pytest.raises(ValueError, match="`sample_weight` must hold a weight"):
        TET()(np.array([0, 1, 2]), logits, sample_weight=np.ones(shape, "float32"))


@pytest.mark.parametrize("form", ["samples", "steps"])
def test_sample_weight_in_fit(form):
    """The loss that `fit` reports before the first update, and the metric beside it."""
    rng = np.random.default_rng(2)
    x, labels = rng.normal(size=(3, 3, 4)).astype("float32"), np.array([0, 2, 1])
    weights = rng.uniform(0, 2, (3, 1 if form == "samples" else 3)).astype("float32")
    model = keras.Sequential([keras.Input((3, 4)), keras.layers.Dense(4)])
    logits = model.predict(x, verbose=0)
    metrics = {"weighted_metrics": [step_accuracy]} if form == "samples" else {}
    model.compile("sgd", TET(), **metrics)
    given = weights[:, 0] if form == "samples" else weights
    history = model.fit(x, labels, sample_weight=given, verbose=0).history
    expected = losses_of_samples(labels, logits, weights).mean()
    np.testing.assert_allclose(history["loss"][0], expected, rtol=1e-5)
    if form == "samples":
        right = logits.mean(1).argmax(-1) == labels
        expected = (right * given).sum() / given.sum()
        np.testing.assert_allclose(history["step_accuracy"][0], expected, rtol=1e-5)


def test_accuracy_refuses_weights_of_steps():
    """As many steps as samples, where weights of another meaning would fit."""
    metric = keras.metrics.MeanMetricWrapper(step_accuracy)
    logits = np.random.default_rng(0).normal(size=(3, 3, 4)).astype("float32")
    with pytest.raises(Exception, match="(?i)rank|dimensions"):
        metric.update_state(np.array([0, 1, 2]), logits, sample_weight=np.ones((3, 3)))


def test_bad_input():
    for labels in (np.zeros((3, 5), "int32"), np.zeros((3, 1, 1), "int32"), np.int32(0)):
        for function in (TET(), step_accuracy):
            with pytest.raises(ValueError, match="`y_true` must be integer labels"):
                function(labels, np.zeros((3, 5, 4), "float32"))
    with pytest.raises(ValueError, match="`y_pred` must be the logits of each step"):
        step_accuracy(np.array([0, 1]), np.zeros((2, 4), "float32"))
    with pytest.raises(ValueError, match="`y_pred` must be the logits of each step"):
        TET()(np.array([0]), np.zeros((1, 4)))
    with pytest.raises(ValueError, match="`regularization`"):
        TET(regularization=1.5)


def softmax(x):
    powers = np.exp(x - x.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
@pytest.mark.parametrize("reduction", ["none", "sum", "sum_over_batch_size"])
def test_distillation(temperature, reduction):
    rng = np.random.default_rng(1)
    teacher, logits = rng.normal(size=(4, 5)), rng.normal(size=(4, 3, 5))
    each = []
    for b in range(4):
        p = softmax(teacher[b] / temperature)
        mean = np.log(p / softmax(logits[b].mean(0) / temperature)) @ p
        steps = np.mean([np.log(p / softmax(x / temperature)) @ p for x in logits[b]])
        each.append(temperature**2 * (mean + steps) / 2)
    expected = {"none": each, "sum": np.sum(each), "sum_over_batch_size": np.mean(each)}[reduction]
    loss = Distillation(temperature, reduction=reduction)
    given = teacher.astype("float32"), logits.astype("float32")
    np.testing.assert_allclose(ops.convert_to_numpy(loss(*given)), expected, rtol=1e-4)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert again.temperature == temperature
    weighted = loss(*given, sample_weight=np.array([1.0, 0, 0, 0], "float32"))
    if reduction == "sum":
        np.testing.assert_allclose(float(weighted), each[0], rtol=1e-4)


def test_distillation_is_zero_and_flat_where_they_agree():
    logits = np.array([[1.0, -2.0, 30.0]], "float32")
    same = np.repeat(logits[:, None], 4, axis=1)
    assert float(Distillation()(logits, same)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    "teacher, logits", [((2, 3), (2, 3)), ((2, 4), (2, 1, 3)), ((2,), (2, 1, 2))]
)
def test_distillation_of_other_shapes(teacher, logits):
    with pytest.raises(ValueError, match="`y_(pred|true)` must be the logits"):
        Distillation()(np.zeros(teacher, "float32"), np.zeros(logits, "float32"))
    with pytest.raises(ValueError, match="`temperature`"):
        Distillation(temperature=0)
