"""What is said of the accuracy of a preset is what scikit-learn counts."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix

from keras_staa import zoo
from keras_staa.cli import main
from tests.zoo.support import CLASSES, images, saved, tiny

SAMPLES = 24
# With other weights all samples get one answer.
SEED = 4


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A file of pictures, their labels, and what the tiny network says of them."""
    x = (images(SAMPLES) * 255).astype("uint8")
    y = np.random.default_rng(3).integers(0, 3, SAMPLES)
    path = tmp_path_factory.mktemp("data") / "noise.npz"
    names = np.array(CLASSES)
    np.savez(path, x_train=x[:3], y_train=y[:3], x_test=x, y_test=y, class_names=names)
    guesses = tiny(SEED).predict(x.astype("float32") / 255, verbose=0).argmax(-1)
    assert 0 < np.mean(guesses == y) < 1 and len(set(guesses)) > 1
    return path, y, guesses


def stating(folder, value, **more):
    accuracy = {"value": value, "split": "test", "images": SAMPLES, "measured": "x", **more}
    return saved(folder / "mine", tiny(SEED), accuracy=accuracy)


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("presets") / "tiny_w4_t1.noise", tiny(SEED))


def test_evaluate(preset, data):
    path, labels, guesses = data
    found = zoo.evaluate(preset, path, batch_size=7)
    np.testing.assert_array_equal(found.labels, labels)
    np.testing.assert_array_equal(found.guesses, guesses)
    assert found.accuracy == accuracy_score(labels, guesses) and found.samples == SAMPLES
    expected = confusion_matrix(labels, guesses, labels=range(3))
    np.testing.assert_array_equal(found.confusion, expected)
    assert zoo.evaluate(preset, path, "train").samples == 3


def test_evaluate_a_file_without_class_names(preset, data, tmp_path):
    path, labels, guesses = data
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files if name != "class_names"}
    np.savez(tmp_path / "unnamed.npz", **arrays)
    found = zoo.evaluate(preset, tmp_path / "unnamed.npz")
    assert found.accuracy == accuracy_score(labels, guesses)
    assert found.class_names == list(CLASSES)


def test_evaluate_logits_of_each_step(data, tmp_path):
    path, _, _ = data
    arguments = {"steps": 2, "step_logits": True, "classifier_activation": None}
    model = tiny(**arguments)
    folder = saved(tmp_path / "steps", model)
    x = np.load(path)["x_test"].astype("float32") / 255
    expected = model.predict(x, verbose=0).mean(1).argmax(-1)
    np.testing.assert_array_equal(zoo.evaluate(folder, path).guesses, expected)


def test_verify(data, tmp_path):
    path, labels, guesses = data
    right = round(accuracy_score(labels, guesses), 4)
    found = zoo.verify(stating(tmp_path, right), path)
    assert found.agrees and found.stated == right
    assert found.measured == accuracy_score(labels, guesses)


@pytest.mark.parametrize("samples, agrees", [(1, True), (2, False), (-2, False)])
def test_verify_what_is_not_so(data, tmp_path, samples, agrees):
    path, labels, guesses = data
    right = accuracy_score(labels, guesses)
    found = zoo.verify(stating(tmp_path, round(right + samples / SAMPLES, 4)), path)
    assert found.agrees == agrees


def test_verify_other_samples_than_stated(data, tmp_path):
    with pytest.raises(ValueError, match="accuracy on 25 samples, but the data set has 24"):
        zoo.verify(stating(tmp_path, 0.5, images=25), data[0])


def test_verify_what_states_nothing(preset, data):
    with pytest.raises(ValueError, match="states no accuracy"):
        zoo.verify(preset, data[0])


def test_other_classes_are_refused(preset, data, tmp_path):
    with np.load(data[0]) as file:
        arrays = dict(file)
    arrays["class_names"] = np.array(["dog", "cat", "frog"])
    np.savez(tmp_path / "other.npz", **arrays)
    with pytest.raises(ValueError, match="must have the classes of preset .*'cat', 'dog'"):
        zoo.evaluate(preset, tmp_path / "other.npz")


@pytest.mark.once
def test_commands(data, tmp_path, capsys):
    path, labels, guesses = data
    right = accuracy_score(labels, guesses)
    mine = str(stating(tmp_path, round(right, 4)))
    assert main(["evaluate", mine, "--data", str(path), "--by-class"]) == 0
    printed = capsys.readouterr().out
    assert f"{right:.2%} of {SAMPLES} samples" in printed and all(n in printed for n in CLASSES)
    assert main(["verify", mine, "--data", str(path)]) == 0
    assert f"measured {right:.2%} of {SAMPLES} samples: as stated" in capsys.readouterr().out
    wrong = str(stating(tmp_path / "b", 1.0))
    assert main(["verify", mine, wrong, "--data", str(path)]) == 1
    assert capsys.readouterr().out.splitlines()[1].endswith("NOT as stated")
