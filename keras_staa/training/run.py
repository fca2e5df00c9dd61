"""Train by a recipe, into the folder of a run."""

import contextlib
import importlib.util
import json
import logging
import math
import pathlib
import re
import shutil
import tempfile

import keras

from keras_staa import models, zoo
from keras_staa.callbacks import Checkpoint
from keras_staa.training import build, run_folder
from keras_staa.training.devices import use_devices

_LOG = logging.getLogger("keras_staa.training")


class StopAtNaN(keras.callbacks.Callback):
    """Stops a training whose loss is not finite, with an error that says where."""

    def __init__(self, checkpoint):
        super().__init__()
        self._checkpoint = checkpoint

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        loss = (logs or {}).get("loss")
        if loss is not None and not math.isfinite(loss):
            raise FloatingPointError(
                f"The loss is {loss} after step {batch + 1} of epoch {self._epoch + 1}. "
                f"The last checkpoint is {self._checkpoint.latest}."
            )


def train(recipe, out, data_dir=None, cache_dir=None, devices=None, verbose=2):
    """Train a network by a recipe, and write it as a preset.

    Call it again with the same arguments after an interruption: the run resumes from its last
    checkpoint. `out` holds the recipe, the environment, `history.csv`, `curves.png` (with
    matplotlib), TensorBoard's logs (with TensorFlow and tensorboard), the last two checkpoints,
    `log.txt` and, at the end, `result.json` and the trained network as a preset.

    Args:
        recipe: what `load_recipe` gives.
        out: path of the folder of the run.
        data_dir: optional path of the folder with the data sets.
        cache_dir: optional path of the folder for the cached frames of event recordings.
        devices: None, or how many devices of this machine share each batch.
        verbose: as in `fit`.

    Returns:
        A dictionary: `preset`, the path of the trained network; `accuracy` on the test split, or
        None without one; `epochs`.

    Raises:
        ValueError: if the folder holds another run, an argument in the recipe is not allowed, or
            there are fewer devices than asked for.
        FloatingPointError: if the loss is not finite.
        OSError: if the disk is full. The last checkpoint is whole.
    """
    folder = run_folder.prepare(out, recipe)
    with _logging(folder):
        if (done := folder / run_folder.RESULT).is_file():
            _LOG.info("The run is done: %s", done)
            return json.loads(done.read_text("utf-8"))
        keras.utils.set_random_seed(recipe.training.seed)
        places = {"data_dir": data_dir, "cache_dir": cache_dir}
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(recipe.training.policy)
        try:
            with use_devices(devices, recipe.training.batch_size):
                model, names = _fit(recipe, folder, places, verbose)
            return _finish(recipe, folder, model, names, places)
        finally:
            keras.config.set_dtype_policy(before)


def _fit(recipe, folder, places, verbose):
    """Return the trained network, and the names of its classes."""
    samples = build.read(recipe, recipe.data.train, training=True, **places)
    validation = None
    if recipe.data.validation is not None:
        validation = build.read(recipe, recipe.data.validation, **places)
    names = build.class_names(recipe, samples, places["data_dir"])
    network = build.network(recipe, sample_shape(samples), len(names))
    model = build.with_teacher(recipe, network)
    model.compile(
        build.optimizer(recipe, network, len(samples)),
        build.loss(recipe),
        metrics=[build.metric(recipe)],
    )
    checkpoint = Checkpoint(
        folder / run_folder.CHECKPOINTS,
        data=samples,
        save_freq=recipe.training.save_freq or "epoch",
    )
    begun = checkpoint.restore(model)
    run_folder.keep_epochs(folder, begun)
    _LOG.info("%s: epoch %d of %d", recipe.title, begun, recipe.training.epochs)
    callbacks = [
        StopAtNaN(checkpoint),
        keras.callbacks.CSVLogger(folder / run_folder.HISTORY, append=True),
        checkpoint,
        keras.callbacks.LambdaCallback(on_epoch_end=_log_epoch),
        *_tensorboard(folder),
    ]
    model.fit(
        samples,
        validation_data=validation,
        epochs=recipe.training.epochs,
        initial_epoch=begun,
        shuffle=False,
        callbacks=callbacks,
        verbose=verbose,
    )
    run_folder.draw_curves(folder)
    return network, names


def _finish(recipe, folder, model, names, places):
    """Measure the network with the rounded weights of its preset, and write both."""
    keras.config.set_dtype_policy("float32")
    arguments = {**model.arguments, "step_logits": False, "classifier_activation": "softmax"}
    network = models.FACTORIES[model.factory](**arguments)
    network.set_weights(model.get_weights())
    # Where this machine keeps its files says nothing to others.
    described = recipe.model_dump(mode="json", exclude_none=True)
    described["data"]["source"] = data_set = pathlib.PurePath(recipe.data.source).name
    if recipe.teacher is not None:
        described["teacher"]["model"] = pathlib.PurePath(recipe.teacher.model).name
    card = {
        "data_set": data_set,
        "class_names": names,
        "training": {
            "recipe": described,
            "reported_epoch": recipe.training.epochs,
            **run_folder.environment(),
        },
        "history": folder / run_folder.HISTORY,
    }
    name = preset_name(model.factory, model.arguments, data_set)
    if recipe.data.test is not None:
        with tempfile.TemporaryDirectory() as place:
            draft = zoo.save(network, pathlib.Path(place) / name, **card)
            network = zoo.load(draft)
        test = build.read(recipe, recipe.data.test, **places)
        card["accuracy"] = _accuracy(network, test, recipe.data.test)
    shutil.rmtree(folder / name, ignore_errors=True)
    zoo.save(network, folder / name, **card)
    result = {
        "preset": name,
        "accuracy": card["accuracy"]["value"] if "accuracy" in card else None,
        "epochs": recipe.training.epochs,
    }
    run_folder.write_json(folder / run_folder.RESULT, result)
    _LOG.info("Accuracy: %s", result["accuracy"])
    return result


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
    kind = factory.removeprefix("STAA").lower() + ("" if arguments["attention"] else "_lif")
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


def sample_shape(samples):
    if (spec := getattr(samples, "element_spec", None)) is not None:
        return spec[0].shape[1:]
    return samples[0][0].shape[1:]


def _log_epoch(epoch, logs):
    figures = ", ".join(f"{name} {value:.4f}" for name, value in logs.items())
    _LOG.info("epoch %d: %s", epoch + 1, figures)


def _tensorboard(folder):
    if not all(importlib.util.find_spec(name) for name in ("tensorflow", "tensorboard")):
        return []
    return [keras.callbacks.TensorBoard(str(folder / "tensorboard"))]


@contextlib.contextmanager
def _logging(folder):
    handler = logging.FileHandler(folder / "log.txt", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    level, propagate = _LOG.level, _LOG.propagate
    _LOG.setLevel(logging.INFO)
    # The lines of `fit` say the same on the console.
    _LOG.propagate = False
    _LOG.addHandler(handler)
    try:
        yield
    except BaseException as error:
        _LOG.error("%s: %s", type(error).__name__, error)
        raise
    finally:
        _LOG.removeHandler(handler)
        _LOG.setLevel(level)
        _LOG.propagate = propagate
        handler.close()
