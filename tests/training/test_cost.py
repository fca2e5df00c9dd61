"""What a training is said to take, against numbers worked out by hand."""

import keras
import pytest

from keras_staa import STAAVGG, training
from keras_staa.cli import main
from keras_staa.layers import PerStep
from keras_staa.training import cost
from tests.real import ROOT
from tests.training.support import pictures, recipe_of

pytestmark = pytest.mark.once


def test_multiplications_and_outputs():
    inputs = keras.Input((2, 8, 8, 3))
    x = PerStep(keras.layers.Conv2D(4, 3, strides=2, padding="same"))(inputs)
    x = PerStep(keras.layers.DepthwiseConv2D(3, padding="same"))(x)
    x = keras.layers.GlobalAveragePooling3D()(x)
    model = keras.Model(inputs, keras.layers.Dense(10)(x))
    convolution = 2 * (4 * 4) * (3 * 3 * 3 * 4)
    by_channel = 2 * (4 * 4) * (3 * 3 * 4)
    assert cost.multiplications(model) == convolution + by_channel + 4 * 10
    places = 2 * 8 * 8 * 3 + 2 * (2 * 4 * 4 * 4) + 4 + 10
    assert cost.activations(model) == 4 * places


def test_time_steps_repeat_all_but_the_first_convolution():
    one, four = (cost.multiplications(STAAVGG(width=4, steps=t)) for t in (1, 4))
    first = 32 * 32 * 3 * 3 * 3 * 4
    assert four - first == 4 * (one - first)


def test_what_a_recipe_takes(tmp_path):
    recipe = training.load_recipe(recipe_of(pictures(tmp_path / "colors")))
    found = cost.estimate(recipe, (16, 16, 3), 3, samples=24)
    assert found["steps"] == 2 * (24 // 6)
    model = training.build.network(recipe, (16, 16, 3), 3)
    assert found["parameters"] == model.count_params()
    assert found["flops"] == 6 * cost.multiplications(model)
    # Weights, their gradients and momenta at the least.
    assert found["memory"] > 3 * 4 * sum(
        w.size for w in map(keras.ops.convert_to_numpy, model.trainable_weights)
    )
    assert found["hours"] > 0
    assert cost.estimate(recipe, (16, 16, 3), 3, 24, timed=False)["hours"] is None


def test_a_dry_run_prints_it(tmp_path, capsys):
    path = recipe_of(pictures(tmp_path / "colors"))
    change = ["--set", "network.width=8"]
    assert main(["train", str(path), *change, "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "width = 8" in printed and "steps: 8" in printed and "hours on this machine" in printed
    assert not (ROOT / "runs" / "colors").exists()
    assert main(["train", "--list"]) == 0 and "dvs128_gesture" in capsys.readouterr().out
    assert main(["train", "--schema"]) == 0 and '"batch_size"' in capsys.readouterr().out
    assert main(["train"]) == 1 and "`recipe` must be one of" in capsys.readouterr().err


def test_a_dry_run_prints_each_stage(tmp_path, capsys):
    path = recipe_of(pictures(tmp_path / "colors"))
    stages = "[[stages]]\nnetwork = { steps = 1 }\n[[stages]]\ntraining = { epochs = 5 }\n"
    path.write_text(path.read_text() + stages)
    assert main(["train", str(path), "--dry-run"]) == 0
    printed = capsys.readouterr().out
    # 24 pictures in batches of 6, in 2 and in 5 epochs.
    assert [line for line in printed.splitlines() if line.startswith(("Stage", "steps: "))] == [
        "Stage 1",
        "steps: 8",
        "Stage 2",
        "steps: 20",
    ]


def test_a_topology_is_for_dry_runs(tmp_path, capsys):
    path = recipe_of(pictures(tmp_path / "colors"))
    assert main(["train", str(path), "--topology", "v5e:2x2"]) == 1
    assert "`topology` must be given with --dry-run" in capsys.readouterr().err


def test_a_dry_run_of_a_recipe_with_a_teacher(tmp_path, capsys):
    """The network then has the logits of each step, and the teacher may not exist yet."""
    path = recipe_of(pictures(tmp_path / "colors"))
    path.write_text(path.read_text() + '[teacher]\nmodel = "not/there.keras"\n')
    assert main(["train", str(path), "--dry-run"]) == 0
    assert "hours on this machine" in capsys.readouterr().out
