"""Callbacks for training."""

import contextlib
import numbers
import pathlib
import re
import warnings

import keras
import numpy as np

from keras_staa import checkpoint_files, checks, random_states, training_loop
from keras_staa.insight.monitor import SpikeMonitor

__all__ = ["Checkpoint", "SpikeMonitor"]

_NAME = re.compile(r"epoch-(\d+)(?:-step-(\d+))?\.weights\.h5")
# The groups of a file with the states of global generators at the beginning of the epoch, when its
# order is drawn, and at the step, before the next draws of layers.
_EPOCH, _STEP = "generators_of_epoch", "generators_of_step"


class Checkpoint(keras.callbacks.Callback):
    """Callback to save checkpoints, so that training can resume exactly where it stopped.

    A checkpoint holds the weights, the state of the optimizer and of the random generators of the
    network, such as those of dropout. `model.save_weights` does not save the latter. Within an
    epoch the checkpoint also holds the state of the metrics.

    Each checkpoint is written under a temporary name and then renamed, so a killed process or a
    full disk (an `OSError`) leaves no broken file. The last two are kept, each with a checksum. If
    the last one is damaged, the one before it is restored, with a warning. Weights that are not
    finite raise a `ValueError`, and earlier checkpoints are kept.

    A resumed run equals an uninterrupted one bit for bit, also from a step within an epoch, under
    these conditions:

    - The network is made and compiled as before, and `fit` gets the same arguments and
      `initial_epoch=checkpoint.restore(model)`.
    - Each epoch has the same batches as before. This holds for `keras_staa.data.arrays`, `events`
      and `images`, passed as `data`; for data without random order or augmentation; for a
      `keras.utils.PyDataset`; and, on JAX and PyTorch, for arrays. **It does not hold for arrays
      that `fit` shuffles on TensorFlow**: use `keras_staa.data.arrays` or `shuffle=False`. Other
      data may draw random numbers from the global generators of Python, NumPy and PyTorch, in the
      thread of `fit`.
    - Layers draw random numbers from their own `keras.random.SeedGenerator`, as Keras's layers do.
    - No other callback has a state of its own, such as `keras.callbacks.EarlyStopping`.
    - The backend is deterministic, as it is on a CPU. On a GPU it may need a setting, such as
      `tf.config.experimental.enable_op_determinism`.

    When training resumes within an epoch, `fit` reads the batches of the completed steps again, but
    does not train on them.

    The learning rate is part of the optimizer's state. To change it, set it after `restore`.

    Args:
        folder: path of the folder for the checkpoints of one run.
        data: None, or the training data if it has a method `set_epoch`, which is called before
            each epoch.
        save_freq: `"epoch"`, or a positive integer to save within the epoch as well, after this
            many steps.
        write: boolean. If False, no checkpoint is written: in all processes but one, where several
            train one network.

    Example:

    ```python
    train = keras_staa.data.arrays(x, y, batch_size=64)
    checkpoint = keras_staa.callbacks.Checkpoint("runs/first", data=train, save_freq=500)
    model.compile("sgd", "categorical_crossentropy")
    model.fit(train, epochs=30, initial_epoch=checkpoint.restore(model), callbacks=[checkpoint])
    ```
    """

    def __init__(self, folder, data=None, save_freq="epoch", write=True):
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
        self.write = checks.boolean("write", write)
        self._restored = None
        self._left = None

    def restore(self, model):
        """Give a compiled model the state of the last checkpoint, if there is one.

        Args:
            model: a compiled `keras.Model` of the network that was trained.

        Returns:
            The number of completed epochs, as `initial_epoch` for `fit`: 0 without a checkpoint.
            `fit` skips the completed steps of the next epoch.

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
                f"`folder` must hold an undamaged checkpoint, or no checkpoint at all. Received: "
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
                "`fit` must get the data that the checkpoint was written with. Received: data that "
                f"end {self._left()} steps before the step of the checkpoint"
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
        if not self.write:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        numbers_only = {
            name: float(value) for name, value in (logs or {}).items() if np.isscalar(value)
        }
        before = [place for place in self._done() if place < (epoch, step)]
        path = self._path(epoch, step)
        try:
            with _alone():
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

    @property
    def latest(self):
        """The path of the last checkpoint, or None."""
        done = self._done()
        return self._path(*max(done)) if done else None

    def _done(self):
        """Return the checkpoints by the epochs done and the steps of the next that are."""
        found = (_NAME.fullmatch(path.name) for path in self.folder.glob("epoch-*"))
        return [(int(match[1]), int(match[2] or 0)) for match in found if match]

    def _path(self, epoch, step):
        within = f"-step-{step}" if step else ""
        return self.folder / f"epoch-{epoch}{within}.weights.h5"


@contextlib.contextmanager
def _alone():
    """Take the distribution away for what one of several processes does.

    To save a model, Keras makes an optimizer to compare with, and the variables of that would wait
    for the other processes.
    """
    distribution = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(distribution)
