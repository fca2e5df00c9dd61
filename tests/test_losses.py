"""TET and its accuracy: against NumPy, in training, and their bad input."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_staa import STAAVGG
from keras_staa.losses import TET
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


def test_trains_a_network_and_is_stored_with_it(tmp_path):
    model = STAAVGG(input_shape=(2, 32, 32, 2), width=4, classes=3, step_logits=True)
    model.compile("sgd", TET(0.05, label_smoothing=0.1), metrics=[step_accuracy])
    x = np.random.default_rng(0).random((4, 2, 32, 32, 2), "float32")
    history = model.fit(x, np.array([0, 1, 2, 0]), verbose=0).history
    assert np.isfinite(history["loss"][0]) and 0 <= history["step_accuracy"][0] <= 1
    again = TET.from_config(TET(0.05, 2.0, 0.1).get_config())
    assert (again.regularization, again.level, again.label_smoothing) == (0.05, 2.0, 0.1)


def test_bad_input():
    with pytest.raises(ValueError, match="`y_pred` must be the logits of each step"):
        TET()(np.array([0]), np.zeros((1, 4)))
    with pytest.raises(ValueError, match="`regularization`"):
        TET(regularization=1.5)
