"""Every network of the registry: parameter counts, training, files, the contract."""

import keras
import numpy as np
import pytest

import keras_staa
from keras_staa import models
from keras_staa.models import FACTORIES

# Trainable parameters without attention, as integers of the published architectures.
COUNTS = [
    ("STAAResNet19", 10, None, 12_569_226),
    ("STAAResNet19", 100, None, 12_615_396),
    ("STAAResNet19", 10, 32, 789_162),
    ("STAAResNet20", 10, None, 11_247_946),
    ("STAAResNet20", 100, None, 11_294_116),
    ("STAAResNet18", 10, None, 11_173_962),
    ("STAAResNet18", 100, None, 11_220_132),
    ("STAAResNet34", 1000, None, 21_797_672),
    ("STAAVGG", 10, None, 9_413_066),
    ("STAAVGG", 100, None, 9_459_236),
    # By hand: 9 (24 w + 53 w^2) + 36 w + (4 w + 1) K.
    ("STAACompact", 10, None, 1_972_490),
    ("STAACompact", 100, 32, 509_412),
]


def trainable(model):
    return sum(int(np.prod(v.shape)) for v in model.trainable_variables)


@pytest.mark.parametrize("name, classes, width, count", COUNTS)
def test_parameters_without_attention(name, classes, width, count):
    more = {} if width is None else {"width": width}
    model = FACTORIES[name](classes=classes, attention=False, steps=1, **more)
    assert trainable(model) == count


def small(name, **arguments):
    return FACTORIES[name](
        input_shape=(32, 32, 3), classes=3, steps=2, width=4, bypass_rate=0.0, **arguments
    )


def images(count, seed=0):
    return np.random.default_rng(seed).random((count, 32, 32, 3)).astype("float32")


@pytest.mark.parametrize("name", FACTORIES)
def test_a_network_trains_and_is_saved(name, tmp_path):
    keras.utils.set_random_seed(1)
    # A deep network is silent at inference until its moving statistics are warm.
    model = small(name, neuron={"threshold": 0.1})
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    x, y = images(6), np.array([0, 1, 2, 0, 1, 2])
    model.compile(keras.optimizers.SGD(0.01), "sparse_categorical_crossentropy")
    before = [np.array(v) for v in model.get_weights()]
    model.fit(x, y, epochs=2, batch_size=6, verbose=0)
    same = [np.array_equal(b, a) for b, a in zip(before, model.get_weights(), strict=True)]
    # Gates that start as the identity pass nothing to the weights before them at first.
    assert sum(same) < len(same) / 3
    expected = model.predict(x, verbose=0)
    assert np.ptp(expected, axis=0).max() > 1e-6, "the network gives all images the same answer"
    np.testing.assert_allclose(expected.sum(axis=1), 1.0, rtol=1e-5)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again.predict(x, verbose=0), expected, rtol=1e-5, atol=1e-6)


def test_features_pooling_frames_and_step_logits():
    create = models.STAAResNet19
    small = {"steps": 2, "width": 4}
    assert create(False, input_shape=(32, 32, 3), **small).output_shape == (None, 2, 8, 8, 16)
    for pooling in ("avg", "max"):
        model = create(False, input_shape=(16, 16, 1), pooling=pooling, **small)
        assert model.output_shape == (None, 16)
    frames = create(input_shape=(3, 16, 16, 2), width=4, classes=5, step_logits=True)
    assert frames.output_shape == (None, 3, 5)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"steps": 0}, "`steps` must be a positive integer. Received: steps=0"),
        ({"width": -1}, "`width` must be a positive integer"),
        ({"pooling": "sum"}, "`pooling` must be one of"),
        ({"input_shape": (32, 32)}, "`input_shape` must be"),
        ({"weights": "nothing"}, "`weights` must be None"),
        ({"normalization": [(0.5, 0.2)]}, "each of the 3 channels"),
        ({"neuron": 3}, "`neuron` must be"),
        ({"neuron": "relux"}, "`neuron` must name"),
        ({"attention": 3}, "`attention` must be"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError) as error:
        models.STAAResNet19(**{"width": 4, **arguments})
    assert message in str(error.value)


def test_a_seed_gives_each_layer_its_own_draws():
    def seeds(**arguments):
        model = keras_staa.STAAVGG(width=8, steps=2, **arguments)
        return [layer.staa.seed for layer in model.layers if hasattr(layer, "staa")]

    first = seeds(attention={"seed": 11})
    assert len(set(first)) == len(first) > 5
    assert seeds(attention={"seed": 11}) == first
    assert not set(first) & set(seeds(attention={"seed": 12}))
    assert set(seeds(attention=True)) == {None}

    template = keras_staa.layers.STAALIF(seed=3)
    model = keras_staa.STAAVGG(width=8, steps=2, attention=False, neuron=template)
    copies = [layer.staa.seed for layer in model.layers if hasattr(layer, "staa")]
    assert len(set(copies)) == len(copies) > 5


@pytest.mark.parametrize("pooling", [None, "max"])
@pytest.mark.parametrize(
    "name",
    ["STAAVGG", *(pytest.param(n, marks=pytest.mark.slow) for n in FACTORIES if n != "STAAVGG")],
)
def test_what_is_no_number_shows_in_predictions_and_loss(name, pooling):
    """One pixel is enough; other images of the batch are as without it."""
    shape = (32, 32, 3)
    top = {"include_top": pooling is None, "pooling": pooling}
    model = FACTORIES[name](input_shape=shape, width=8, steps=2, **top)
    x = np.random.default_rng(0).random((3, *shape), "float32")
    clean = model.predict(x, verbose=0)
    x[1, 16, 16, 0] = np.nan
    got = model.predict(x, verbose=0)
    assert np.isnan(got[1]).all()
    np.testing.assert_allclose(got[[0, 2]], clean[[0, 2]], rtol=1e-4, atol=1e-5)
    if pooling is None:
        model.compile("sgd", "sparse_categorical_crossentropy")
        assert np.isnan(model.train_on_batch(x, np.array([0, 1, 2])))
