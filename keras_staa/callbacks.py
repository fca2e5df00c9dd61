"""Callbacks for training."""

import numbers
import pathlib
import re
import warnings

import keras
import numpy as np

from keras_staa import checkpoint_files, checks, random_states, training_loop

_NAME = re.compile(r"epoch-(\d+)(?:-step-(\d+))?\.weights\.h5")
# The groups of a file with the states of global generators at the beginning of the epoch, when its
# order is drawn, and at the step, before the next draws of layers.
_EPOCH, _STEP = "generators_of_epoch", "generators_of_step"


class Checkpoint(keras.callbacks.Callback):
    """Keep the state of a training, so that a run can go on as if it had never stopped.

    A checkpoint has the weights, the optimizer's state and that of the network's random generators,
    such as those of dropout; `model.save_weights` leaves the last out. Within an epoch it also has
    the state of the metrics. It is made in memory, written under a temporary name and renamed:
    whenever the process is killed or the disk is full (an `OSError`), what is there is whole. The
    last two are kept. Each has a checksum; where the last is damaged, the one before is restored,
    with a warning. Weights that are not finite are a `ValueError`, and the checkpoints before them
    stay.

    A run that goes on is bit for bit the run that was not stopped, from an epoch's end as from a
    step within it, if

    - the network is made and compiled as before, and `fit` gets the same arguments and
      `initial_epoch=checkpoint.restore(model)`;
    - each epoch's batches are again those they were. They are for data of `keras_staa.data`
      (`arrays`, `events`, `images`) that the checkpoint knows as `data`. They are for other data
      that draw nothing, or in the thread of `fit` from the global generators of Python, NumPy or
      PyTorch, whose states are kept: a `keras.utils.PyDataset`, which `fit` shuffles, on each
      backend, arrays on JAX and PyTorch. **Arrays that `fit` shuffles on TensorFlow are not**: give
      it `keras_staa.data.arrays` or `shuffle=False`;
    - layers draw from a `keras.random.SeedGenerator` of their own, as those of Keras do;
    - no other callback has a state of its own, such as `keras.callbacks.EarlyStopping`;
    - the backend computes the same from the same, as it does on a CPU. On a GPU it may have to be
      told, as by `tf.config.experimental.enable_op_determinism`.

    When a run goes on within an epoch, `fit` reads the batches of the steps that were done once
    more, without learning from them.

    The learning rate is part of the optimizer's state. To go on with another set it after
    `restore`.

    Args:
        folder: path, of the checkpoints of one run.
        data: None, or what `fit` gets or is made of, of which `set_epoch(epoch)` is called before
            each epoch.
        save_freq: `"epoch"`, or a positive integer: so many steps after the last one a checkpoint
            is written within the epoch as well.

    Example:

    ```python
    train = keras_staa.data.arrays(x, y, batch_size=64)
    checkpoint = keras_staa.callbacks.Checkpoint("runs/first", data=train, save_freq=500)
    model.compile("sgd", "categorical_crossentropy")
    model.fit(train, epochs=30, initial_epoch=checkpoint.restore(model), callbacks=[checkpoint])
    ```
    """

    def __init__(self, folder, data=None, save_freq="epoch"):
        super().__init__()
        if data is not None and not hasattr(data, "set_epoch"):
            raise ValueError(
                "`data` must have a function `set_epoch`, as what keras_staa.data.arrays, events "
                f"and images return. Received: data={data!r}"
            )
        if save_freq != "epoch" and not isinstance(save_freq, numbers.Integral):
            raise ValueError(
                "`save_freq` must be 'epoch' or a positive integer of steps. "
                f"Received: save_freq={save_freq!r}"
            )
        self.folder = pathlib.Path(folder)
        self.data = data
        self.save_freq = (
            None if save_freq == "epoch" else checks.positive_int("save_freq", save_freq)
        )
        self._restored = None
        self._left = None

    def restore(self, model):
        """Give a compiled model the state of the last checkpoint, if there is one.

        Args:
            model: a compiled `keras.Model` of the network that was trained.

        Returns:
            The number of epochs done, `initial_epoch` for `fit`: 0 without a checkpoint. Steps of
            the next epoch that are done, too, are passed over in `fit`.

        Raises:
            ValueError: if the model is not compiled, the network or the optimizer is another than
                that of the checkpoint, or all checkpoints are damaged.
        """
        if getattr(model, "optimizer", None) is None:
            raise ValueError("`model` must be compiled, since the optimizer's state is restored.")
        self._restored = None
        places = sorted(self._done(), reverse=True)
        for place in places:
            path = self._path(*place)
            try:
                found = checkpoint_files.read(path)
            except checkpoint_files.Damaged as error:
                warnings.warn(f"{error} The checkpoint before it is tried.", stacklevel=2)
                continue
            if not found["sealed"]:
                warnings.warn(
                    f"{path} has no checksum: whether it is whole is not known.", stacklevel=2
                )
            if not model.optimizer.built:
                model.optimizer.build(model.trainable_variables)
            checkpoint_files.check_fits(found, path, model)
            checkpoint_files.restore(found, model)
            self._restored = {**found, "content": None, "place": place}
            return place[0]
        if places:
            raise ValueError(
                f"`folder` must hold a checkpoint that is whole, or none to begin anew. Received: "
                f"folder={str(self.folder)!r} with {len(places)} that are damaged"
            )
        return 0

    def on_train_begin(self, logs=None):
        self._left = None
        self._unsaved = 0

    def on_epoch_begin(self, epoch, logs=None):
        restored, self._restored = self._restored, None
        self._epoch, self._steps, self._left = epoch, 0, None
        if self.data is not None:
            self.data.set_epoch(epoch)
        if restored is not None:
            begun, done = restored["place"]
            if epoch != begun:
                raise ValueError(
                    f"`initial_epoch` must be {begun}, as `restore` returned. Received: "
                    f"initial_epoch={epoch}"
                )
            random_states.restore(restored["groups"].get(_EPOCH, {}))
            if done:
                self._left = training_loop.skip(
                    self.model,
                    done,
                    restored["record"]["logs"],
                    checkpoint_files.metrics(restored),
                    then=lambda: random_states.restore(restored["groups"][_STEP]),
                )
        self._drawing = {**random_states.of_data(), **random_states.of_backend()}

    def on_train_batch_end(self, batch, logs=None):
        steps = batch + 1 - self._steps
        self._steps = batch + 1
        if self._left is not None:
            # The last of the steps that were done before is passed over in this one.
            self._left = self._left if self._left() else None
            return
        self._unsaved += steps
        if self.save_freq is not None and self._unsaved >= self.save_freq:
            self._save(self._epoch, self._steps, logs)

    def on_epoch_end(self, epoch, logs=None):
        if self._left is not None:
            raise ValueError(
                f"`fit` must get the data of the checkpoint. Received: data that end {self._left()}"
                " steps before the step of the checkpoint"
            )
        # Another callback may have stopped the training within the epoch.
        whole = self.params.get("steps") is None or self._steps >= self.params["steps"]
        if self.model.stop_training and not whole:
            self._save(epoch, self._steps, logs)
        else:
            self._drawing = {**random_states.of_data(), **random_states.of_backend()}
            self._save(epoch + 1, 0, logs)

    def _save(self, epoch, step, logs):
        self._unsaved = 0
        self.folder.mkdir(parents=True, exist_ok=True)
        numbers_only = {
            name: float(value) for name, value in (logs or {}).items() if np.isscalar(value)
        }
        before = [place for place in self._done() if place < (epoch, step)]
        path = self._path(epoch, step)
        try:
            checkpoint_files.write(
                path,
                self.model,
                {"logs": numbers_only},
                metrics=step > 0,
                arrays={_EPOCH: self._drawing, _STEP: random_states.of_backend()},
            )
        except checkpoint_files.NotFinite as error:
            if not self.model.stop_training:
                raise
            # Another callback has seen it, such as `keras.callbacks.TerminateOnNaN`.
            warnings.warn(str(error), stacklevel=2)
            return
        kept = {path, *(self._path(*place) for place in sorted(before)[-1:])}
        for other in self.folder.glob("epoch-*"):
            name = other.name.removesuffix(".partial")
            if _NAME.fullmatch(name) and other not in kept:
                other.unlink()

    def _done(self):
        """Return the checkpoints by the epochs done and the steps of the next that are."""
        found = (_NAME.fullmatch(path.name) for path in self.folder.glob("epoch-*"))
        return [(int(match[1]), int(match[2] or 0)) for match in found if match]

    def _path(self, epoch, step):
        within = f"-step-{step}" if step else ""
        return self.folder / f"epoch-{epoch}{within}.weights.h5"
