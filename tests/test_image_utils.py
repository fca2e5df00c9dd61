"""Images in [0, 1] in front of a network and names behind it; a warning where they are not."""

import copy
import pickle
import warnings

import keras
import numpy as np
import pytest
from keras import ops

from keras_staa import decode_predictions, image_utils, preprocess_input, zoo
from tests.zoo.support import CLASSES, Tiny, registered, saved, tiny
from tests.zoo.support import images as random_images

WARNING = "takes images in .0, 1., and was given values up to"


@pytest.fixture(autouse=True)
def known(monkeypatch):
    registered(monkeypatch)


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("presets") / "noise")


@pytest.fixture
def model(preset):
    model = zoo.load(preset)
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


def warned(function, *args, **kwargs):
    """How many warnings of the range a call gives."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        function(*args, **kwargs)
    return sum("takes images in [0, 1]" in str(w.message) for w in found)


LABELS = np.array([0, 1, 2, 0, 1, 2])
ENTRIES = {
    "predict": lambda m, x: m.predict(x, verbose=0),
    "predict by keyword": lambda m, x: m.predict(x=x, verbose=0),
    "predict a tensor": lambda m, x: m.predict(ops.convert_to_tensor(x), verbose=0),
    "predict a list": lambda m, x: m.predict([x], verbose=0),
    "fit": lambda m, x: m.fit(x, LABELS[: len(x)], verbose=0),
    "evaluate": lambda m, x: m.evaluate(x, LABELS[: len(x)], verbose=0),
    "validation": lambda m, x: m.fit(
        x / x.max(), LABELS[: len(x)], validation_data=(x, LABELS[: len(x)]), verbose=0
    ),
    "train_on_batch": lambda m, x: m.train_on_batch(x, LABELS[: len(x)]),
    "test_on_batch": lambda m, x: m.test_on_batch(x, LABELS[: len(x)]),
    "predict_on_batch": lambda m, x: m.predict_on_batch(x),
    "call": lambda m, x: m(x),
    "call in training": lambda m, x: m(x, training=True),
}


@pytest.mark.parametrize("entry", ENTRIES)
def test_images_of_0_to_255_are_warned_of_once(entry, model):
    x = random_images()
    assert warned(ENTRIES[entry], model, x) == 0
    with pytest.warns(UserWarning, match=WARNING):
        ENTRIES[entry](model, 255 * x)
    assert warned(ENTRIES[entry], model, 255 * x) == 0


def test_the_warning_names_the_network_the_value_and_what_to_do(model):
    x = np.full((2, 16, 16, 3), 3, "uint8")
    x[1, 0, 0, 0] = 200
    text = f"'{model.name}' takes .* up to 200. `keras_staa.preprocess_input`"
    with pytest.warns(UserWarning, match=text):
        model.predict(x, verbose=0)


@pytest.mark.parametrize("values", [0.0, 1.0, 1.4, np.nan])
def test_nothing_is_said_of_other_values(values, model):
    assert warned(model.predict, np.full((2, 16, 16, 3), values, "float32"), verbose=0) == 0


def test_empty_and_many_images(model):
    many = np.zeros((100, 16, 16, 3), "float32")
    assert image_utils._largest(many[:0]) == 0
    many[image_utils.LOOKED_AT - 1] = 255
    with pytest.warns(UserWarning, match=WARNING):
        model.predict(many, verbose=0)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, 0),
        ({"normalization": [(0.5, 0.25)] * 3}, 1),
        ({"normalization": [(120.0, 60.0)] * 3}, 0),
        ({"input_shape": (2, 16, 16, 3)}, 0),
    ],
)
def test_which_networks_are_for_0_to_1(arguments, expected):
    """Counts of events, and networks that learn on any scale or state another, are left alone."""
    model = Tiny(**{"classes": 3, "steps": 1, **arguments})
    assert warned(model, 255 * random_images(2, shape=model.input_shape[1:])) == expected


def test_a_network_behind_a_scaling_of_the_caller_is_left_alone(preset):
    raw = keras.Input((16, 16, 3))
    scaled = keras.layers.Rescaling(1 / 255)(raw)
    model = zoo.load(preset)
    behind = Tiny(weights=str(preset), input_tensor=scaled)
    x = random_images()
    assert warned(behind.predict, 255 * x, verbose=0) == 0
    np.testing.assert_allclose(
        behind.predict(255 * x, verbose=0), model.predict(x, verbose=0), atol=1e-3
    )


def test_nothing_is_added_to_the_network(preset, tmp_path):
    """Type, layers, results, copies and files are those of a network that looks at nothing."""
    x, plain, model = random_images(), tiny(), zoo.load(preset)
    assert type(model) is type(plain)
    assert [layer.name for layer in model.layers] == [layer.name for layer in plain.layers]
    assert model.get_config()["layers"] == plain.get_config()["layers"]
    expected = plain.predict(x, verbose=0)
    for other in (model, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_allclose(other.predict(x, verbose=0), expected, atol=1e-6)
    model.save(tmp_path / "x.keras")
    again = keras.saving.load_model(tmp_path / "x.keras")
    np.testing.assert_allclose(again.predict(x, verbose=0), expected, atol=1e-6)


def test_class_names(preset):
    assert zoo.load(preset).class_names == list(CLASSES)
    assert Tiny(weights=str(preset)).class_names == list(CLASSES)
    assert zoo.load(preset, classes=3).class_names == list(CLASSES)
    assert zoo.load(preset, classes=5).class_names is None
    assert zoo.load(preset, include_top=False).class_names is None
    assert Tiny(classes=3).class_names is None


@pytest.mark.parametrize("kind", [np.uint8, np.float32, np.int64])
def test_preprocess_input(kind):
    x = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 3)).astype(kind)
    before, expected = x.copy(), x.astype("float64") / 255
    result = preprocess_input(x)
    assert isinstance(result, np.ndarray) and result.dtype == "float32"
    np.testing.assert_allclose(result, expected, rtol=1e-6)
    np.testing.assert_array_equal(x, before)
    of_tensor = preprocess_input(ops.convert_to_tensor(x))
    assert ops.is_tensor(of_tensor)
    np.testing.assert_allclose(ops.convert_to_numpy(of_tensor), expected, rtol=1e-6)
    inputs = keras.Input((4, 5, 3), dtype=np.dtype(kind).name)
    inside = keras.Model(inputs, preprocess_input(inputs))
    np.testing.assert_allclose(inside.predict(x, verbose=0), expected, rtol=1e-6)


def test_preprocess_input_in_tf_data():
    tf = pytest.importorskip("tensorflow")
    x = np.arange(24, dtype="uint8").reshape(2, 2, 2, 3)
    (batch,) = tf.data.Dataset.from_tensors(x).map(preprocess_input)
    np.testing.assert_allclose(batch.numpy(), x / 255.0, rtol=1e-6)


def test_preprocess_input_of_another_form():
    with pytest.raises(ValueError, match="`data_format` must be one of"):
        preprocess_input(np.zeros((1, 3, 4, 4)), data_format="channels_first")


def test_decode_predictions(preset):
    model = zoo.load(preset)
    y = np.array([[0.2, 0.5, 0.3], [0.6, 0.0, 0.4]])
    expected = [[(1, "dog", 0.5), (2, "frog", 0.3)], [(0, "cat", 0.6), (2, "frog", 0.4)]]
    for source in (model, str(preset), preset, CLASSES, list(CLASSES)):
        assert decode_predictions(y, 2, model=source) == expected
    assert [len(row) for row in decode_predictions(y, model=model)] == [3, 3]
    (named,) = decode_predictions(ops.convert_to_tensor(y[:1]), top=1, model=model)
    assert named[0][:2] == (1, "dog")
    digits = decode_predictions(np.eye(10), 1, model="cifar10")
    assert [row[0][1] for row in digits] == zoo.describe("cifar10")["class_names"]


def test_decode_predictions_of_bad_input(preset):
    y = np.eye(3)
    for model in (None, Tiny(classes=3), 5, [1, 2, 3]):
        with pytest.raises(ValueError, match="`model` must be a network with `class_names`"):
            decode_predictions(y, model=model)
    for wrong in (y[0], np.eye(4), y[None]):
        with pytest.raises(ValueError, match="`preds` must be probabilities"):
            decode_predictions(wrong, model=preset)
    with pytest.raises(ValueError, match="`top`"):
        decode_predictions(y, 0, model=preset)
