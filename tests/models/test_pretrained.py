"""Networks with the weights of a preset, as it is or with other steps, size, classes or head."""

import keras
import numpy as np
import pytest

from keras_staa import models
from keras_staa.layers import LIF
from keras_staa.models.transfer import transfer
from tests.zoo.support import Tiny, images, predictions, registered, saved, tiny, values

RESHAPED = ("predictions/", "position_encoding/", "step_attention/")


@keras.saving.register_keras_serializable("tests")
class ScaledLIF(keras.layers.Layer):
    """A neuron of someone else: a weight of its own beside a layer that has weights."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.lif = LIF(threshold=0.3, learn=True)

    def build(self, shape):
        self.scale = self.add_weight(name="scale", shape=(shape[-1],), initializer="ones")
        self.lif.build(shape)

    def call(self, x):
        return self.lif(x * self.scale)


@pytest.fixture(autouse=True)
def tiny_factory(monkeypatch):
    registered(monkeypatch)


def assert_same(target, source, but=()):
    ours, theirs = values(target), values(source)
    shared = [path for path in ours if not any(part in path for part in but)]
    assert "stage_conv/stage_conv/kernel" in shared
    for path in shared:
        np.testing.assert_array_equal(ours[path], theirs[path], err_msg=path)


def near(got, expected, tolerance=1e-6):
    np.testing.assert_allclose(got, expected, atol=tolerance)


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_a_folder(kind, preset, model):
    assert_same(Tiny(weights=kind(preset)), model)
    near(predictions(Tiny(weights=kind(preset))), predictions(model))
    given = Tiny(True, kind(preset), None, (16, 16, 3), None, 3, width=4, steps=1, causal=False)
    near(predictions(given), predictions(model))


def test_a_name_of_the_zoo():
    by_name = models.STAAVGG(weights="vgg_w32_t2.cifar10", include_top=False, pooling="avg")
    # 32 channels in the first stage, eight times as many in the last.
    assert by_name.output_shape == (None, 256)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_weight_file(dtype, tmp_path, model):
    file = saved(tmp_path / "preset", model, dtype=dtype) / "model.weights.h5"
    arguments = {"classes": 3, "steps": 1, "neuron": {"threshold": 0.3}}
    again = Tiny(weights=file, **arguments)
    near(predictions(again), predictions(model), 1e-6 if dtype == "float32" else 5e-3)
    with pytest.raises(FileNotFoundError, match=r"no weight file .*nowhere\.weights\.h5"):
        Tiny(weights=tmp_path / "nowhere.weights.h5", **arguments)


def test_a_weight_file_into_another_shape(tmp_path, preset, model):
    """A file does not say of what it is, but takes the steps, size and classes that it fits."""
    file = tmp_path / "own.weights.h5"
    model.save_weights(file)
    own = {"steps": 1, "neuron": {"threshold": 0.3}}
    five = Tiny(weights=file, **own, classes=5)
    assert_same(five, model, but=("predictions/",))
    assert five.output_shape == (None, 5)
    assert np.std(values(five)["predictions/kernel"]) > 0.05
    features = Tiny(weights=file, **own, include_top=False)
    assert_same(features, model)
    for change in ({"steps": 3}, {"input_shape": (32, 16, 3)}):
        by_file = Tiny(weights=file, **{**own, "classes": 3, **change})
        by_preset = Tiny(weights=preset, **change)
        for path, value in values(by_preset).items():
            # Hidden units that the preset does not have start anew each time.
            if "step_attention/squeeze" not in path and "step_attention/excite" not in path:
                np.testing.assert_array_equal(values(by_file)[path], value, err_msg=path)
    headless = tmp_path / "headless.weights.h5"
    features.save_weights(headless)
    assert_same(Tiny(weights=headless, **own, classes=7), model, but=("predictions/",))


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"width": 8}, "weight 'layers/"),
        ({"attention": False}, "has no weight 'layers/staalif/"),
        ({"attention": {"context": False}}, "has no weight 'layers/staalif/staa/context"),
        ({"input_shape": (16, 16, 1)}, "has the shape (3, 3, 3, 4), not (3, 3, 1, 4)"),
    ],
)
def test_a_weight_file_of_another_network(change, part, tmp_path, model):
    file = tmp_path / "own.weights.h5"
    model.save_weights(file)
    with pytest.raises(ValueError) as error:
        Tiny(weights=file, **{"classes": 3, "steps": 1, **change})
    assert str(file) in str(error.value)
    assert part in str(error.value)


def test_a_weight_file_of_a_compiled_network(tmp_path):
    model = tiny()
    model.compile(
        keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    model.train_on_batch(images(), np.zeros(6))
    model.save_weights(tmp_path / "own.weights.h5")
    again = Tiny(weights=tmp_path / "own.weights.h5", **{"classes": 3, "steps": 1})
    assert_same(again, model)


@pytest.mark.parametrize("shape", [(16, 16, 1), (2, 16, 16, 4)])
def test_other_channels_than_the_presets(shape, preset):
    with pytest.raises(ValueError, match="`input_shape` must have 3 channels") as error:
        Tiny(weights=preset, input_shape=shape)
    assert str(shape) in str(error.value)
    with pytest.raises(ValueError, match="`input_tensor` must have 3 channels"):
        Tiny(weights=preset, input_tensor=keras.Input(shape))


def test_a_preset_of_another_factory(preset):
    with pytest.raises(ValueError, match="must be a preset of STAAResNet19.*is one of Tiny"):
        models.STAAResNet19(weights=preset)
    with pytest.raises(ValueError, match="must be a preset of Tiny.*is one of STAACompact"):
        Tiny(weights="cifar10")


@pytest.mark.parametrize(
    ("name", "value", "own"),
    [
        ("width", 8, "4"),
        ("attention", False, "True"),
    ],
)
def test_an_argument_that_contradicts(name, value, own, preset):
    with pytest.raises(ValueError) as error:
        Tiny(weights=preset, **{name: value})
    for part in (f"`{name}` must be {own}", "preset 'tiny_w4_t1.noise'", f"Received: {name}="):
        assert part in str(error.value)


def gates(model, means):
    """The step gates of the network's aggregator, (B, T), of means of each channel (B, T, C)."""
    attention = model.get_layer("stage_neuron").staa.step_attention
    means = means.mean(axis=-1) if attention.summary == "mean" else means
    return keras.ops.convert_to_numpy(keras.ops.stop_gradient(attention.gate(means)))


@pytest.mark.parametrize("attention", [True, {"step_gate": "mean"}], ids=["channels", "mean"])
@pytest.mark.parametrize("steps", [4, 6])
def test_a_preset_becomes_causal_and_back(steps, attention, tmp_path):
    both, causal = (
        saved(tmp_path / str(causal), tiny(steps=4, attention=attention, causal=causal))
        for causal in (False, True)
    )
    model = Tiny(weights=both)
    found = Tiny(weights=both, causal=True, steps=steps)
    assert_same(found, model, but=("position_encoding/steps", "step_attention/"))
    x = np.random.default_rng(0).random((2, steps, 8)).astype("float32")
    later = x.copy()
    later[:, 2:] += 1
    np.testing.assert_array_equal(gates(found, x)[:, :2], gates(found, later)[:, :2])
    assert (gates(found, x) != gates(Tiny(weights=both, steps=steps), x)).any()
    back = Tiny(weights=causal, causal=False, steps=4)
    if attention is True:
        assert_same(back, Tiny(weights=causal))
    else:
        # What was hidden from a causal network has never been trained, and must not come back.
        near(gates(back, x[:, :4]), gates(Tiny(weights=causal), x[:, :4]))
        near(predictions(back), predictions(Tiny(weights=causal)))


def test_a_neuron_of_the_same_configuration_is_the_same(tmp_path):
    layer = tiny(neuron=LIF(threshold=0.3, reset="soft"))
    folder = saved(tmp_path / "preset", layer)
    # Its automatic name is no part of what it does.
    again = Tiny(weights=folder, neuron=LIF(threshold=0.3, reset="soft"))
    near(predictions(again), predictions(layer))


@pytest.mark.parametrize("steps", [2, 3])
def test_other_steps(steps, preset, model):
    target = Tiny(weights=preset, steps=steps)
    assert target.get_layer("stage_neuron").output.shape[1] == steps
    assert_same(target, model, but=("position_encoding/steps", "step_attention/"))
    prefix = "stage_neuron/staa/position_encoding/"
    ours, theirs = values(target), values(model)
    assert theirs[f"{prefix}steps"].any()
    near(ours[f"{prefix}steps"], np.repeat(theirs[f"{prefix}steps"], steps, axis=0), 0)
    # Currents that do not change in time are gated as the one step of the preset was.
    means = images(shape=(1, 4, 4, 8)).mean(axis=(2, 3))
    found, one = gates(target, np.repeat(means, steps, axis=1)), gates(model, means)
    assert np.abs(one - 1).min() > 1e-3
    near(found, np.repeat(one, steps, axis=1), 1e-5)
    predictions(target)


def test_frames_take_what_images_learned(preset):
    by_images = Tiny(weights=preset, steps=2)
    by_frames = Tiny(weights=preset, input_shape=(2, 16, 16, 3))
    assert by_frames.input_shape == (None, 2, 16, 16, 3)
    x = images()
    still = np.repeat(x[:, None], 2, axis=1)
    near(predictions(by_frames, still), predictions(by_images, x), 1e-5)


def test_another_size_interpolates_the_places(preset, model):
    target = Tiny(weights=preset, input_shape=(32, 16, 3))
    assert_same(target, model, but=("position_encoding/rows",))
    rows = values(model)["stage_neuron/staa/position_encoding/rows"]
    # Four old rows' centres among the centres of eight new ones.
    places = [np.interp(np.arange(8) / 2 - 0.25, np.arange(4), column) for column in rows.T]
    near(values(target)["stage_neuron/staa/position_encoding/rows"], np.transpose(places))
    predictions(target)


def test_other_classes_and_heads(preset, model):
    x = images()
    assert_same(Tiny(weights=preset, classes=7), model, but=("predictions/",))
    features = Tiny(weights=preset, include_top=False)
    assert_same(features, model)
    y = features.predict(x, verbose=0)
    assert y.shape == (6, 1, 4, 4, 8)
    for pooling, pool in (("avg", np.mean), ("max", np.max)):
        pooled = Tiny(weights=preset, include_top=False, pooling=pooling)
        assert_same(pooled, model)
        near(pooled.predict(x, verbose=0), pool(y, axis=(2, 3)).mean(axis=1))
    logits = Tiny(weights=preset, classifier_activation=None).predict(x, verbose=0)
    near(softmax(logits), predictions(model, x))
    each = Tiny(weights=preset, step_logits=True).predict(x, verbose=0)
    near(softmax(each.mean(axis=1)), predictions(model, x))


def test_an_input_tensor(preset, model):
    inputs = keras.Input((16, 16, 3))
    bytes_ = Tiny(weights=preset, input_tensor=keras.layers.Rescaling(1 / 255)(inputs))
    assert_same(bytes_, model)
    near(predictions(bytes_, images() * 255), predictions(model, images()), 1e-5)
    larger = Tiny(weights=preset, input_tensor=keras.Input((16, 32, 3)))
    assert_same(larger, model, but=("position_encoding/columns",))
    assert larger.input_shape == (None, 16, 32, 3)


def test_an_input_tensor_of_a_layer_with_weights(preset, model):
    inputs = keras.Input((16, 16, 1))
    colours = keras.layers.Conv2D(3, 1, name="colours", kernel_initializer="ones")(inputs)
    grey = Tiny(weights=preset, input_tensor=colours)
    x = images(shape=(16, 16, 1))
    near(predictions(grey, x), predictions(model, np.repeat(x, 3, axis=-1)), 1e-5)


def test_weights_beside_inner_layers_are_transferred(tmp_path):
    source = tiny(neuron=ScaledLIF(), attention=False)
    with keras.saving.custom_object_scope({"ScaledLIF": ScaledLIF}):
        target = Tiny(weights=saved(tmp_path / "preset", source), steps=2)
    assert not np.array_equal(values(source)["stem_neuron/scale"], np.ones(4))
    assert_same(target, source)


def test_transfer_rejects_what_does_not_fit():
    with pytest.raises(ValueError, match="'stem_conv' has weights of shapes"):
        transfer(tiny(width=4), tiny(width=8))
    with pytest.raises(ValueError, match="'stem_neuron' holds 1 layers with weights, its source 0"):
        transfer(tiny(attention=False), tiny())
    other = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Conv2D(4, 3)])
    with pytest.raises(ValueError, match="no layer 'stem_conv'"):
        transfer(other, tiny())
