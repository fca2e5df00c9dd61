"""Early exits and accuracy by step, against the outputs after each step."""

import keras
import numpy as np
import pytest

from keras_staa import insight
from keras_staa.streaming import Stepper, early_exit
from tests.streaming.support import FRAMES, network, run, samples

COUNT = 11


@pytest.fixture(scope="module", params=["images", "frames"])
def case(request):
    """A stepper, samples, and the probabilities of each sample after each step, (T, N, classes)."""
    given = {"images": {"steps": 5}, "frames": {"input_shape": FRAMES, "seed": 3}}
    model = network(**given[request.param])
    stepper, x = Stepper(model), samples(model, COUNT)
    # Classes that are about as likely change from step to step.
    bias = model.get_layer("predictions").bias
    bias.assign(bias - np.log(model.predict(x, verbose=0)).mean(axis=0))
    found, _ = run(stepper, x)
    return stepper, x, np.stack(found)


def expected(probabilities, threshold):
    """By a loop over samples: probabilities and steps."""
    rows, steps = [], []
    for i in range(probabilities.shape[1]):
        t = 0
        while probabilities[t, i].max() < threshold and t + 1 < len(probabilities):
            t += 1
        rows.append(probabilities[t, i])
        steps.append(t + 1)
    return np.array(rows), np.array(steps)


@pytest.mark.parametrize("batch_size", [4, 11, 32])
def test_samples_leave_when_they_are_sure(case, batch_size):
    stepper, x, probabilities = case
    threshold = float(np.median(probabilities.max(axis=-1)))
    rows, steps = expected(probabilities, threshold)
    assert len(set(steps.tolist())) > 1
    found = early_exit(stepper, threshold).predict(x, batch_size)
    assert found.steps.tolist() == steps.tolist()
    np.testing.assert_allclose(found.probabilities, rows, atol=1e-5)
    assert found.mean_steps == pytest.approx(steps.mean())


def test_what_has_left_is_not_computed(case, monkeypatch):
    stepper, x, probabilities = case
    sizes, step = [], stepper.step

    def counted(inputs, state):
        sizes.append(len(state))
        return step(inputs, state)

    monkeypatch.setattr(stepper, "step", counted)
    threshold = float(np.median(probabilities.max(axis=-1)))
    left = [(expected(probabilities, threshold)[1] > t).sum() for t in range(5)]
    early_exit(stepper, threshold).predict(x, batch_size=COUNT)
    # A batch has its size, or a half of it, a quarter and so on, rounded up.
    assert sizes == [min(s for s in (11, 6, 3, 2, 1) if s >= n) for n in left if n]
    sizes.clear()
    early_exit(stepper, 1e-6).predict(x, batch_size=COUNT)
    assert sizes == [COUNT]


def test_a_threshold_of_one_is_the_whole_network(case):
    stepper, x, _ = case
    found = early_exit(stepper.model, threshold=1.0).predict(x)
    assert set(found.steps.tolist()) == {5}
    whole = stepper.model.predict(x, verbose=0)
    np.testing.assert_allclose(found.probabilities, whole, atol=1e-5)


def test_logits_become_probabilities():
    given = {"input_shape": FRAMES}
    logits, softmax = network(classifier_activation=None, **given), network(**given)
    x = samples(logits, COUNT)
    found = [early_exit(model, 0.5).predict(x) for model in (logits, softmax)]
    np.testing.assert_allclose(found[0].probabilities, found[1].probabilities, atol=1e-5)
    assert found[0].steps.tolist() == found[1].steps.tolist()


def test_batches_with_labels(case):
    stepper, x, _ = case
    batches = [(x[:4], np.zeros(4)), (x[4:], np.zeros(7))]
    found, one = early_exit(stepper).predict(batches), early_exit(stepper).predict(x)
    np.testing.assert_allclose(found.probabilities, one.probabilities, atol=1e-5)


def test_accuracy_by_step(case):
    stepper, x, probabilities = case
    labels = np.arange(COUNT) % 3
    right = (probabilities.argmax(axis=-1) == labels).mean(axis=1)
    assert len(set(right.tolist())) > 1
    one_hot = np.eye(3)[labels]
    batches = [(x[:4], labels[:4]), (x[4:], one_hot[4:])]
    for given in ((x, labels), (x, one_hot), (batches,)):
        found = insight.accuracy_by_step(stepper, *given, batch_size=4, verbose=0)
        assert found.samples == COUNT
        np.testing.assert_allclose(found.accuracy, right)


def test_empty_batches_are_left_out(case):
    stepper, x, _ = case
    labels = np.arange(COUNT) % 3
    batches = [(x[:0], labels[:0]), (x[:4], labels[:4]), (x[:0], labels[:0]), (x[4:], labels[4:])]
    assert len(early_exit(stepper).predict(batches).steps) == COUNT
    assert insight.accuracy_by_step(stepper, batches, verbose=0).samples == COUNT
    found = [insight.report(stepper.model, given, verbose=0) for given in (batches, x)]
    assert [report.samples for report in found] == [COUNT, COUNT]
    rates = [[row.firing_rate for row in report.layers] for report in found]
    np.testing.assert_allclose(*([r or 0 for r in one] for one in rates), rtol=1e-6)


def test_bad_input(case):
    stepper, x, _ = case
    for threshold in (0, -1, 1.1, "high"):
        with pytest.raises(ValueError, match="`threshold` must"):
            early_exit(stepper, threshold)
    with pytest.raises(ValueError, match=r"`model` must give .* logits \(B, classes\)"):
        early_exit(network(step_logits=True))
    with pytest.raises(ValueError, match="looks at later time steps"):
        early_exit(network(causal=False))
    for call in (early_exit(stepper).predict, by_step(stepper)):
        with pytest.raises(ValueError, match="`x` must have samples of shape"):
            call(x[..., :1])
        with pytest.raises(ValueError, match="`x` must have samples. Received: none"):
            call(x[:0])
        with pytest.raises(ValueError, match="must have finite values"):
            call(x * np.nan)
        with pytest.raises(ValueError, match="`batch_size` must be a positive integer"):
            call(x, batch_size=0)
    with pytest.raises(ValueError, match="`y` must be the labels of the array"):
        insight.accuracy_by_step(stepper, x)
    with pytest.raises(ValueError, match="a label for each of the 11 samples. Received: 2"):
        insight.accuracy_by_step(stepper, x, [0, 1])
    with pytest.raises(ValueError, match="one without labels"):
        insight.accuracy_by_step(stepper, [x])


def by_step(stepper):
    def call(x, **given):
        return insight.accuracy_by_step(stepper, x, np.zeros(len(x), int), verbose=0, **given)

    return call


def test_the_curve_of_a_network_with_logits():
    model = network(classifier_activation=None, input_shape=FRAMES)
    x, labels = samples(model, 4), np.zeros(4, int)
    by_hand = keras.ops.convert_to_numpy(keras.ops.argmax(model.predict(x, verbose=0), -1)) == 0
    found = insight.accuracy_by_step(model, x, labels, verbose=0)
    assert found.accuracy[-1] == pytest.approx(by_hand.mean())
