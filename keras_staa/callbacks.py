"""Callbacks for training."""

import os
import pathlib
import re

import keras

_NAME = re.compile(r"epoch-(\d+)\.weights\.h5")
# The group of a checkpoint that holds the states of the random generators.
_RANDOM = "random_generators"


class Checkpoint(keras.callbacks.Callback):
    """Keep the network and its optimizer's state after each epoch, so that a run can go on.

    Also the state of its random generators, such as those of dropout, is kept and restored, which
    `model.save_weights` leaves out. A checkpoint is written under a temporary name and renamed, and
    its name holds the epoch: whenever the process is killed, what is there is whole.
    (`keras.callbacks.BackupAndRestore` writes over its file; killed in the middle of its first one,
    the run can no longer start.) Only the last checkpoint is kept.

    Args:
        folder: path, of the checkpoints of one run.

    Example:

    ```python
    checkpoint = keras_staa.callbacks.Checkpoint("runs/first")
    model.compile("sgd", "categorical_crossentropy")
    model.fit(x, y, epochs=30, initial_epoch=checkpoint.restore(model), callbacks=[checkpoint])
    ```
    """

    def __init__(self, folder):
        super().__init__()
        self.folder = pathlib.Path(folder)

    def restore(self, model):
        """Give a compiled model the state of the last checkpoint, if there is one.

        Args:
            model: a compiled `keras.Model` of the network that was trained.

        Returns:
            The number of epochs done: 0 without a checkpoint.

        Raises:
            ValueError: if the model is not compiled, or its weights are not those of the file.
        """
        import h5py

        if getattr(model, "optimizer", None) is None:
            raise ValueError("`model` must be compiled, since the optimizer's state is restored.")
        done = self._done()
        if not done:
            return 0
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        epoch = max(done)
        model.load_weights(done[epoch])
        with h5py.File(done[epoch]) as file:
            states = file.get(_RANDOM)
            if states is not None:
                for index, variable in enumerate(_generators(model)):
                    variable.assign(states[str(index)][()])
        return epoch

    def on_epoch_end(self, epoch, logs=None):
        import h5py

        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"epoch-{epoch + 1}.weights.h5"
        partial = self.folder / "partial.weights.h5"
        self.model.save_weights(partial, overwrite=True)
        with h5py.File(partial, "a") as file:
            for index, variable in enumerate(_generators(self.model)):
                file[f"{_RANDOM}/{index}"] = keras.ops.convert_to_numpy(variable)
        os.replace(partial, path)
        for other in self._done().values():
            if other != path:
                other.unlink()

    def _done(self):
        """The checkpoints by the number of epochs done."""
        found = ((_NAME.fullmatch(path.name), path) for path in self.folder.glob("epoch-*"))
        return {int(match.group(1)): path for match, path in found if match}


def _generators(model):
    """The states of a model's random generators: all of its variables that are no weights."""
    weights = {id(variable) for variable in model.weights}
    return [variable for variable in model.variables if id(variable) not in weights]
