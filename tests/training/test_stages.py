"""Recipes with stages: what they may change, and what a stage starts from."""

import csv

import keras
import numpy as np
import pytest

from keras_staa import training, zoo
from keras_staa.training import build, run
from keras_staa.training.recipe import stages_of
from tests.training.support import pictures, recipe_of

STAGES = """
[[stages]]
network = { steps = 1 }
optimizer = { learning_rate = 0.1 }

[[stages]]
training = { epochs = 1 }
schedule = { warmup_epochs = 0 }
"""


@pytest.fixture(scope="module")
def recipe_path(tmp_path_factory):
    path = recipe_of(pictures(tmp_path_factory.mktemp("data") / "colors"))
    path.write_text(path.read_text() + STAGES)
    return path


def test_a_stage_is_the_recipe_with_its_changes(recipe_path):
    first, second = stages_of(training.load_recipe(recipe_path))
    assert first.network.arguments()["steps"] == 1 and second.network.arguments()["steps"] == 2
    assert (first.optimizer.learning_rate, second.optimizer.learning_rate) == (0.1, 0.05)
    assert (first.training.epochs, second.training.epochs) == (2, 1)
    assert first.optimizer.arguments()["momentum"] == 0.9
    assert first.stages is second.stages is None


def test_a_change_names_a_stage_by_its_place(recipe_path):
    recipe = training.load_recipe(recipe_path, ["stages.1.training.epochs=5"])
    assert [stage.training.epochs for stage in stages_of(recipe)] == [2, 5]


@pytest.mark.parametrize(
    "change, message",
    [
        ("stages.0.network.factory=STAAVGG", "`network.factory` must be the same in all stages"),
        ("stages.0.training.seed=2", "`training.seed` must be the same .* Received: 2 in stage 1"),
        ("stages.1.optimizer.lr=0.1", "stage 2: `optimizer.lr` is not a key"),
        ("stages.1.optimiser.momentum=0.1", "stage 2: `optimiser` is not a key"),
        ("stages.1.training.epochs=0", "stage 2: `training.epochs`: .*Received: 0"),
        ("stages.0.training.epochs=1", "stage 1: `schedule.warmup_epochs` must be less"),
        ("stages.2.training.epochs=1", "`2` is not a section of a recipe"),
        ("stages.0=1", "`stages.0` is not a key of a recipe"),
    ],
)
def test_what_a_stage_may_not_change(recipe_path, change, message):
    with pytest.raises(ValueError, match=message):
        training.load_recipe(recipe_path, [change])


@pytest.mark.heavy
def test_a_stage_starts_from_the_one_before_and_a_run_resumes_between(
    recipe_path, tmp_path, monkeypatch
):
    recipe = training.load_recipe(recipe_path)
    result = training.train(recipe, tmp_path / "whole", verbose=0)
    assert result["preset"] == "compact_w4_t2.colors" and result["epochs"] == 3
    with open(tmp_path / "whole/history.csv") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["0", "1", "2"]

    before, begin = {}, build.begin

    def stopped(recipe, network, previous, samples):
        if previous is not None:
            before.update(previous=previous.get_layer("stage3_2_conv"), steps=previous.arguments)
            raise KeyboardInterrupt
        begin(recipe, network, previous, samples)

    monkeypatch.setattr(build, "begin", stopped)
    with pytest.raises(KeyboardInterrupt):
        training.train(recipe, tmp_path / "cut", verbose=0)
    assert before["steps"]["steps"] == 1

    def watched(recipe, network, previous, samples):
        begin(recipe, network, previous, samples)
        for now, then in zip(
            network.get_layer("stage3_2_conv").weights,
            previous.get_layer("stage3_2_conv").weights,
            strict=True,
        ):
            np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, (now, then)))

    monkeypatch.setattr(build, "begin", watched)
    assert training.train(recipe, tmp_path / "cut", verbose=0) == result
    weights = [
        zoo.load(tmp_path / name / result["preset"]).get_weights() for name in ("whole", "cut")
    ]
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.heavy
@pytest.mark.parametrize("in_step", [False, True])
def test_a_stage_may_train_on_crops_of_another_size(recipe_path, tmp_path, in_step):
    crop = "[{class_name='RandomResizedCrop', height=12, width=12}]"
    changes = [f"stages.0.data.augment={crop}", f"training.augment_in_step={str(in_step).lower()}"]
    recipe = training.load_recipe(recipe_path, changes)
    result = training.train(recipe, tmp_path / "run", verbose=0)
    assert zoo.load(tmp_path / "run" / result["preset"]).input_shape == (None, 16, 16, 3)


def test_a_network_with_adapt_starts_from_the_training_images(recipe_path):
    recipe = training.load_recipe(recipe_path)
    samples = build.read(recipe, "train", training=True)
    network = build.network(recipe, run.sample_shape(samples), 3)
    build.begin(recipe, network, None, lambda: samples)
    kernel = network.get_layer("whitening").get_weights()[0]
    np.testing.assert_array_equal(kernel[..., :12], -kernel[..., 12:])
    x = np.concatenate([keras.ops.convert_to_numpy(x) for x, _ in samples])
    patches = np.lib.stride_tricks.sliding_window_view(x, (2, 2), axis=(1, 2))
    whitened = np.einsum("nhwcij,ijco->nhwo", patches, kernel[..., :12]).reshape(-1, 12)
    moments = whitened.T @ whitened / len(whitened)
    # Up to what is added to the variances, the largest first.
    rows = patches.transpose(0, 1, 2, 4, 5, 3).reshape(-1, 12).astype("float64")
    variances = np.linalg.svd(rows, compute_uv=False) ** 2 / len(rows)
    expected = np.diag(variances / (variances + 0.05 * variances.mean()))
    np.testing.assert_allclose(moments, expected, atol=1e-3)
