"""The end of a run: the trained network is measured and written as a preset."""

import pathlib
import re
import shutil
import tempfile

import keras

from keras_staa import models, zoo
from keras_staa.training import build, run_folder
from keras_staa.training.recalibration import recalibrate
from keras_staa.training.recipe import stages_of


def publish(recipe, folder, model, names, places):
    """Measure a network with the rounded weights of its preset, and write both.

    Args:
        recipe: what `load_recipe` gives.
        folder: `pathlib.Path` of the run.
        model: the trained network.
        names: list of strings, the classes.
        places: dictionary of `data_dir` and `cache_dir`.

    Returns:
        What `keras_staa.training.train` returns.
    """
    keras.config.set_dtype_policy("float32")
    arguments = {**model.arguments, "step_logits": False, "classifier_activation": "softmax"}
    network = models.FACTORIES[model.factory](**arguments)
    network.set_weights(model.get_weights())
    recordings = recipe.data.reader == "events"
    learned = test = None
    if recipe.training.recalibrate or recordings:
        learned = build.read(recipe, recipe.data.train, training=True, augmented=False, **places)
    if recipe.data.test is not None:
        test = build.read(recipe, recipe.data.test, **places)
    if recipe.training.recalibrate:
        recalibrate(network, learned, recipe.training.recalibrate)
    epochs = sum(stage.training.epochs for stage in stages_of(recipe))
    # Where this machine keeps its files says nothing to others.
    described = recipe.model_dump(mode="json", exclude_none=True)
    described["data"]["source"] = data_set = data_set_name(recipe.data.source)
    if recipe.teacher is not None:
        described["teacher"]["model"] = pathlib.PurePath(recipe.teacher.model).name
    card = {
        "data_set": data_set,
        "class_names": names,
        "training": {
            "recipe": described,
            "reported_epoch": epochs,
            **run_folder.environment(),
            **(_descriptions(recipe, learned, test) if recordings else {}),
        },
        "history": folder / run_folder.HISTORY,
    }
    name = preset_name(model.factory, model.arguments, data_set)
    if test is not None:
        with tempfile.TemporaryDirectory() as place:
            draft = zoo.save(network, pathlib.Path(place) / name, **card)
            network = zoo.load(draft)
        card["accuracy"] = _accuracy(network, test, recipe.data.test)
    shutil.rmtree(folder / name, ignore_errors=True)
    zoo.save(network, folder / name, **card)
    result = {
        "preset": name,
        "accuracy": card["accuracy"]["value"] if "accuracy" in card else None,
        "epochs": epochs,
    }
    run_folder.write_json(folder / run_folder.RESULT, result)
    return result


def _descriptions(recipe, learned, test):
    """Return what recordings were learned from and measured, and how they were read."""
    found = {"data": learned.description}
    if test is not None:
        found["test_data"] = test.description
    return {**found, "normalize": recipe.data.arguments().get("normalize", False)}


def data_set_name(source):
    """Return the name of a data set: that of its folder or file, without the path and `.npz`.

    Example:

    >>> data_set_name("/data/cifar10.npz")
    'cifar10'
    """
    return pathlib.PurePath(source).name.removesuffix(".npz")


def preset_name(factory, arguments, data_set):
    """Return the name of a preset, such as `resnet19_w128_t4.cifar10`.

    Args:
        factory: name of the factory.
        arguments: arguments of the network, a mapping.
        data_set: string.

    Example:

    >>> preset_name("STAAVGG", {"width": 32, "steps": 2, "attention": True}, "cifar10")
    'vgg_w32_t2.cifar10'
    """
    kind = factory.removeprefix("STAA").lower()
    if isinstance(neuron := arguments.get("neuron"), str):
        kind += f"_{neuron}"
    elif not arguments["attention"]:
        kind += "_lif"
    # Another stem has other weights, and would else have the name of the network without it.
    if (strides := arguments.get("stem_strides", 1)) != 1:
        kind += f"_s{strides}"
    last = re.sub(r"\W", "_", data_set).lower()
    return f"{kind}_w{arguments['width']}_t{arguments['steps']}.{last}"


def _accuracy(network, test, split):
    network.compile(loss="categorical_crossentropy", metrics=["accuracy"])
    value = network.evaluate(test, return_dict=True, verbose=0)["accuracy"]
    return {
        "value": round(value, 4),
        "split": split,
        "images": sum(len(labels) for _, labels in test),
        "measured": "keras-staa train",
    }
