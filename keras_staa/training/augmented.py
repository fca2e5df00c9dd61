"""Training with augmentation as a part of the compiled step, by `fit`."""

import keras
from keras import ops

from keras_staa.data.image import augmenting

IMAGES, LABELS, LOGITS = "images", "labels", "logits"


class Augmented(keras.Model):
    """A network whose training images are augmented in the training step.

    The layers run on the device of the network and are compiled with it, so that a batch costs the
    host no more than its copy. `with_labels` gives batches in the form that the step needs, since
    some layers mix the labels too. With other batches, and in inference, this is the network alone.

    Args:
        network: a `keras.Model`.
        layers: list of Keras layers for images in [0, 1], of which `keras.layers.MixUp` and
            `CutMix` mix the labels too.

    Example:

    >>> import keras_staa
    >>> network = keras_staa.STAAVGG(width=4, steps=2)
    >>> model = Augmented(network, [keras.layers.RandomFlip("horizontal")])
    >>> model.compile("sgd", "categorical_crossentropy")
    >>> x, y = np.random.rand(8, 32, 32, 3), np.eye(10)[np.arange(8)]
    >>> batches = with_labels(keras_staa.data.arrays(x, y, batch_size=4))
    >>> history = model.fit(batches, verbose=0)
    """

    def __init__(self, network, layers=(), **kwargs):
        super().__init__(**kwargs)
        self.network = network
        self.augmentation = list(layers)

    def build(self, input_shape=None):
        # The layers and the network are built by their first call.
        self.built = True

    def call(self, inputs, training=False):
        if not isinstance(inputs, dict):
            return self.network(inputs, training=training)
        images, labels = inputs[IMAGES], inputs[LABELS]
        images, labels = augmenting.apply(self.augmentation, images, labels, bool(training))
        images = ops.cast(images, "float32")
        logits = self.network(images, training=training)
        return {IMAGES: images, LABELS: labels, LOGITS: logits}

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Return the loss; Keras calls it in each step."""
        return self.loss_of(*_unpacked(x, y, y_pred), sample_weight, training)

    def loss_of(self, images, labels, logits, sample_weight, training):
        """Return the loss of what the network gave for images, which are augmented in training."""
        return super().compute_loss(images, labels, logits, sample_weight, training)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Return the metrics; Keras calls it in each step."""
        return super().compute_metrics(*_unpacked(x, y, y_pred), sample_weight)


def with_labels(batches):
    """Return batches of images and labels in the form that `Augmented` trains on.

    Args:
        batches: a `tf.data.Dataset` or a `keras.utils.PyDataset` of (images, labels), with
            `set_epoch` as those of `keras_staa.data`.

    Returns:
        As `batches`, with both parts as inputs, and the labels.
    """
    if isinstance(batches, keras.utils.PyDataset):
        return _WithLabels(batches)
    joined = batches.map(_joined)
    joined.set_epoch = batches.set_epoch
    return joined


class _WithLabels(keras.utils.PyDataset):
    def __init__(self, batches):
        super().__init__()
        self._batches = batches
        self.set_epoch, self.on_epoch_end = batches.set_epoch, batches.on_epoch_end

    def __len__(self):
        return len(self._batches)

    def __getitem__(self, index):
        return _joined(*self._batches[index])


def _joined(images, labels):
    return {IMAGES: images, LABELS: labels}, labels


def _unpacked(x, y, y_pred):
    if isinstance(y_pred, dict):
        return y_pred[IMAGES], y_pred[LABELS], y_pred[LOGITS]
    return x, y, y_pred
