"""Train by a recipe, into the folder of a run."""

import contextlib
import importlib.util
import json
import logging
import math
import pathlib

import keras

from keras_staa.callbacks import Checkpoint
from keras_staa.training import build, run_folder
from keras_staa.training.compiling import compile_neurons
from keras_staa.training.devices import check_classes, prepare, use_devices
from keras_staa.training.processes import ALONE, average_gradients, check_equal
from keras_staa.training.publishing import publish
from keras_staa.training.recipe import stages_of
from keras_staa.training.waiting import WaitingShare

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


def train(
    recipe,
    out,
    data_dir=None,
    cache_dir=None,
    devices=None,
    verbose=2,
    group=ALONE,
    split_read_out=False,
):
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
        group: what `keras_staa.training.connect` returns, where several processes train. The first
            one writes the folder, which the others read, and measures the network.
        split_read_out: boolean, whether each of `devices` holds the read-out of its part of the
            classes alone (JAX).

    Returns:
        A dictionary: `preset`, the path of the trained network; `accuracy` on the test split, or
        None without one; `epochs`. None in all processes but the first.

    Raises:
        ValueError: if the folder holds another run, an argument in the recipe is not allowed, or
            there are fewer devices than asked for.
        FloatingPointError: if the loss is not finite.
        OSError: if the disk is full. The last checkpoint is whole.
    """
    first = group.index == 0
    folder = run_folder.prepare(out, recipe) if first else pathlib.Path(out)
    with _logging(folder) if first else contextlib.nullcontext():
        if (done := folder / run_folder.RESULT).is_file():
            _LOG.info("The run is done: %s", done)
            return json.loads(done.read_text("utf-8")) if first else None
        places = {"data_dir": data_dir, "cache_dir": cache_dir}
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(recipe.training.policy)
        try:
            with use_devices(
                devices,
                recipe.training.batch_size,
                group,
                split_read_out,
                teacher=recipe.teacher is not None,
            ):
                model, names = _fit(
                    recipe,
                    folder,
                    places=places,
                    verbose=verbose if first else 0,
                    group=group,
                    shared=devices if split_read_out else 1,
                )
            if not first:
                return None
            result = publish(recipe, folder, model, names, places)
            _LOG.info("Accuracy: %s", result["accuracy"])
            return result
        finally:
            keras.config.set_dtype_policy(before)


def _fit(recipe, folder, group, **arguments):
    """Return the trained network, and the names of its classes."""
    stages, place = stages_of(recipe), folder / run_folder.CHECKPOINTS
    places_of = [place / f"stage-{n}" for n in range(1, len(stages) + 1)]
    if len(stages) == 1:
        places_of = [place]
    # Earlier stages are in the weights of the last that has begun.
    begun = max((n for n, each in enumerate(places_of) if Checkpoint(each).latest), default=0)
    network, done = None, sum(stage.training.epochs for stage in stages[:begun])
    for stage, checkpoints in list(zip(stages, places_of, strict=True))[begun:]:
        network, names = _fit_stage(
            stage, folder, checkpoints, network, done, group=group, **arguments
        )
        done += stage.training.epochs
    if group.index == 0:
        run_folder.draw_curves(folder)
    return network, names


def _fit_stage(recipe, folder, checkpoints, before, done, *, places, verbose, group, shared):
    """Train the network of a stage, after `done` epochs of the stages before."""
    # Of the stage, so that a run that resumes in it draws as one that came through all.
    keras.utils.set_random_seed(recipe.training.seed + done)
    samples = build.read(recipe, recipe.data.train, training=True, group=group, **places)
    validation = None
    if recipe.data.validation is not None:
        validation = build.read(recipe, recipe.data.validation, **places)
    names = build.class_names(recipe, samples, places["data_dir"])
    layers, shape = build.layers_in_step(recipe, sample_shape(samples))
    steps = len(samples)
    check_classes(len(names), shared)
    network = prepare(build.network(recipe, shape, len(names)))
    if recipe.training.jit_compile:
        compile_neurons(network)
    model = build.trained(recipe, network, layers)
    samples = build.for_step(recipe, samples)
    model.compile(
        average_gradients(build.optimizer(recipe, network, steps), group),
        build.loss(recipe),
        metrics=[build.metric(recipe)],
    )
    checkpoint = Checkpoint(
        checkpoints,
        data=samples,
        save_freq=recipe.training.save_freq or "epoch",
        write=group.index == 0,
    )
    if checkpoint.latest is None:
        build.begin(
            recipe,
            network,
            before,
            lambda: build.read(recipe, recipe.data.train, training=True, augmented=False, **places),
        )
    begun = checkpoint.restore(model) or done
    last = done + recipe.training.epochs
    callbacks = [WaitingShare(), StopAtNaN(checkpoint), checkpoint]
    if group.index == 0:
        run_folder.keep_epochs(folder, begun)
        _LOG.info("%s: epoch %d of %d", recipe.title, begun, last)
        # Before the checkpoint, so that no finished epoch is without its row.
        callbacks[2:2] = [keras.callbacks.CSVLogger(folder / run_folder.HISTORY, append=True)]
        callbacks += [keras.callbacks.LambdaCallback(on_epoch_end=_log_epoch)]
        callbacks += _tensorboard(folder)
    model.fit(
        samples,
        validation_data=validation,
        epochs=last,
        initial_epoch=begun,
        shuffle=False,
        callbacks=callbacks,
        verbose=verbose,
    )
    check_equal(network, group)
    return network, names


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
