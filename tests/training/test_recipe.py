"""Recipes: those of the library, changes, and what is refused."""

import json
import math

import keras
import numpy as np
import pytest

from keras_staa import STAAVGG, training
from keras_staa.training import build
from keras_staa.training.publishing import preset_name
from keras_staa.training.recipe import dump, parse
from tests.real import ROOT
from tests.training.support import RECIPE

pytestmark = pytest.mark.once
every_recipe = pytest.mark.parametrize("name", training.list_recipes())


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "colors.toml"
    path.write_text(RECIPE.format(source="colors"), "utf-8")
    return path


def test_the_recipes_of_the_library():
    paper = {"cifar10", "cifar100", "imagenet", "cifar10_dvs", "dvs128_gesture"}
    assert paper | {"nmnist", "tiny_imagenet"} <= set(training.list_recipes())


@every_recipe
def test_a_recipe_says_where_it_is_from_and_fits(name):
    recipe = training.load_recipe(name)
    assert len(recipe.source) > 40
    shape = (32, 32, 3) if recipe.data.reader == "images" else (2, 32, 32, 2)
    small = training.load_recipe(name, ["network.width=8"])
    model = build.network(small, shape, 10)
    assert model.output_shape[-1] == 10
    optimizer = build.optimizer(recipe, model, 100)
    assert isinstance(optimizer, keras.optimizers.Optimizer)
    assert isinstance(build.loss(recipe), keras.losses.Loss)


@every_recipe
def test_the_documentation_states_its_network(name):
    recipe = training.load_recipe(name)
    given = {**recipe.network.arguments(), **recipe.data.arguments()}
    network = f"`{recipe.network.factory}`, width {given['width']}, T = {given['steps']}"
    table = (ROOT / "docs" / "training.md").read_text("utf-8")
    assert f"| `{name}` | {network} | {recipe.data.reader} | " in table


@every_recipe
def test_a_recipe_is_read_as_it_is_written(name):
    import tomllib

    recipe = training.load_recipe(name)
    assert parse(tomllib.loads(dump(recipe)), "again") == recipe


def test_the_schedule_rises_to_the_rate_and_ends_at_zero(path):
    recipe = training.load_recipe(path, ["training.epochs=5"])
    schedule = build.schedule(recipe, 10)
    rates = [float(schedule(step)) for step in range(51)]
    np.testing.assert_allclose(rates[:11], 0.05 * np.arange(11) / 10, rtol=1e-5, atol=1e-8)
    # Halfway down after half of the 40 steps that are left.
    assert rates[30] == pytest.approx(0.025, rel=1e-4)
    assert rates[50] == pytest.approx(0, abs=1e-8)
    cosine = 0.05 * (1 + math.cos(math.pi * 10 / 40)) / 2
    assert rates[20] == pytest.approx(cosine, rel=1e-5)


def test_a_rate_without_a_schedule(path):
    content = training.load_recipe(path).model_dump(exclude_none=True)
    del content["schedule"]
    assert build.schedule(parse(content, "here"), 10) == 0.05


def test_changes(path):
    changes = ["network.steps=3", "data.augment=standard", "network.neuron.threshold=1.5"]
    recipe = training.load_recipe(path, changes)
    assert recipe.network.arguments()["steps"] == 3
    assert recipe.data.arguments()["augment"] == "standard"
    assert recipe.network.arguments()["neuron"] == {"surrogate": "triangular", "threshold": 1.5}


ERRORS = {
    "optimizer.lr=0.1": "`optimizer.lr` is not a key of a recipe. Did you mean `learning_rate`?",
    "optimizer.learning_rat=0.1": "Did you mean `learning_rate`?",
    "optimizer.learning_rate=-1": "`optimizer.learning_rate`.*greater than 0.*Received: -1",
    "optimizer.learning_rate=nan": "`optimizer.learning_rate`.*finite",
    "optimizer.class_name=Sgd": "`optimizer.class_name` must be one of .* Did you mean `SGD`?",
    "training.epoch=3": "`training.epoch` is not a key of a recipe. Did you mean `epochs`?",
    "training.epochs=many": "`training.epochs`.*valid integer. Received: 'many'",
    "training.batch_size=0": "`training.batch_size`.*Received: 0",
    "trainin.epochs=3": "`trainin` is not a key of a recipe. Did you mean `training`?",
    "network.wdth=3": "`network.wdth` is not a key of a recipe. Did you mean `width`?",
    "network.classes=3": "`network.classes` is not a key of a recipe",
    "network.factory=STAAResNet": "`network.factory` must be one of",
    "data.reader=video": "`data.reader`.*Received: 'video'",
    "data.siz=3": "`data.siz` is not a key of a recipe. Did you mean `size`?",
    "loss.class_name=Hinge2": "`loss.class_name` must be one of .*Did you mean `Hinge`?",
    "schedule.warmup=1": "`schedule.warmup` is not a key of a recipe. Did you mean `warmup_",
    "title.x=3": "`title` is not a section",
    "epochs": "A change must be `section.key=value`. Received: 'epochs'",
}


@pytest.mark.parametrize("change", ERRORS)
def test_what_is_not_allowed_is_named(path, change):
    with pytest.raises(ValueError, match=ERRORS[change]):
        training.load_recipe(path, [change])


def test_files_that_are_no_recipes(tmp_path):
    with pytest.raises(ValueError, match="`recipe` must be one of .*Received: recipe='cifar11'"):
        training.load_recipe("cifar11")
    path = tmp_path / "bad.toml"
    path.write_text("title = ")
    with pytest.raises(ValueError, match="bad.toml must be a file in TOML"):
        training.load_recipe(path)
    path.write_text('title = "x"\n')
    with pytest.raises(ValueError, match="bad.toml: `source` is missing"):
        training.load_recipe(path)


def test_the_json_schema_describes_the_sections():
    schema = training.json_schema()
    json.dumps(schema)
    assert set(schema["required"]) == {
        "title",
        "source",
        "data",
        "network",
        "loss",
        "optimizer",
        "training",
    }
    assert schema["$defs"]["Training"]["properties"]["epochs"]["minimum"] == 1


def test_layers_of_an_augmentation_are_made():
    layers = build.augmentation(["standard", {"class_name": "MixUp", "alpha": 0.5}])
    assert layers[0] == "standard" and isinstance(layers[1], keras.layers.MixUp)
    with pytest.raises(ValueError, match="`class_name` in `data.augment` must be a layer"):
        build.augmentation([{"class_name": "Model"}])
    with pytest.raises(ValueError, match="`class_name` in `data.augment` must be a layer"):
        build.augmentation([{"alpha": 1}])


def test_weights_without_decay_are_left_alone(path):
    recipe = training.load_recipe(path)
    model = STAAVGG(width=4, steps=2)
    optimizer = build.optimizer(recipe, model, 10)
    left = [v for v in model.trainable_variables if not optimizer._use_weight_decay(v)]
    names = {v.path.split("/")[-1] for v in left}
    assert {"decay", "gain", "gamma", "beta"} <= names and "kernel" not in names


def test_windows_that_are_measured_do_not_overlap(monkeypatch):
    given, recipe = [], training.load_recipe("dvs128_objects")
    monkeypatch.setattr(build.data, "events", lambda source, **a: given.append(a) or [0])
    build.read(recipe, "train", training=True)
    build.read(recipe, "test")
    assert given[0]["stride"] == 0.1 and len(given[0]["augment"]) == 7
    assert "stride" not in given[1] and "augment" not in given[1]


def test_images_that_are_measured_may_have_another_size(monkeypatch):
    given, recipe = [], training.load_recipe("imagenet")
    monkeypatch.setattr(build.data, "images", lambda source, **a: given.append(a) or [0])
    build.read(recipe, "train", training=True)
    build.read(recipe, "validation")
    assert [part["size"] for part in given] == [256, 224]


def test_a_network_without_spikes_is_a_name():
    model = build.network(
        training.load_recipe("relu_cifar10", ["network.width=4"]), (32, 32, 3), 10
    )
    neurons = [layer for layer in model.layers if layer.name.endswith("_neuron")]
    assert neurons and all(layer.activation is keras.activations.relu for layer in neurons)
    assert preset_name(model.factory, model.arguments, "cifar10") == "resnet18_relu_w4_t1.cifar10"
    with pytest.raises(ValueError, match="`neuron` must name .* activation .*Received: 'relux'"):
        STAAVGG(width=4, neuron="relux")
