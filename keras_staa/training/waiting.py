"""How much of a training's time goes by while it waits for batches."""

import time

import keras

from keras_staa import training_loop


class WaitingShare(keras.callbacks.Callback):
    """Adds the share of an epoch's time in which the network waited for its batches to the logs.

    It is a number in [0, 1] with the name `waiting`. A share above some hundredths means that the
    data are read or augmented too slowly. With several devices on TensorFlow, which fetch the
    batches themselves, nothing is added.

    Give it as the first callback, so that others can write it down. On PyTorch, the time that
    other callbacks take between two steps counts as waiting.

    Example:

    >>> import keras_staa
    >>> model = keras_staa.STAAVGG(width=4, steps=2)
    >>> model.compile("sgd", "sparse_categorical_crossentropy")
    >>> x, y = np.random.rand(8, 32, 32, 3), np.arange(8)
    >>> history = model.fit(x, y, batch_size=4, verbose=0, callbacks=[WaitingShare()])
    >>> 0 <= history.history["waiting"][0] <= 1
    True
    """

    def on_train_begin(self, logs=None):
        self._function = self.model.train_function
        self._within = training_loop.measure_waiting(self.model)

    def on_train_end(self, logs=None):
        self.model.train_function = self._function

    def on_epoch_begin(self, epoch, logs=None):
        self._begun, self._before = time.perf_counter(), self._within() or 0.0
        self._between, self._ended = 0.0, self._begun

    def on_train_batch_begin(self, batch, logs=None):
        self._between += time.perf_counter() - self._ended

    def on_train_batch_end(self, batch, logs=None):
        self._ended = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        if keras.backend.backend() == "torch":
            waited = self._between
        elif (within := self._within()) is not None:
            waited = within - self._before
        else:
            return
        logs["waiting"] = waited / (self._ended - self._begun)
