"""Losses on the logits of each time step."""

import keras
from keras import ops

from keras_staa import checks
from keras_staa.layers.staa_neurons import spiking_layers


@keras.saving.register_keras_serializable("keras_staa")
class TET(keras.losses.Loss):
    """Temporal efficient training: the cross-entropy of every time step, averaged.

    `(1 - regularization) * mean_t CE(O[t], y) + regularization * mean_t MSE(O[t], level)`, where
    O[t] are the logits of step t. It asks every step to be right, not only their mean, and is for
    networks with `step_logits=True`.

    Args:
        regularization: the weight lambda of the second term, in [0, 1).
        level: float, what the second term draws the logits to.
        label_smoothing: float in [0, 1).
        reduction, name, dtype: as in `keras.losses.Loss`.

    Call arguments:
        y_true: integer labels (B,) or (B, 1), or one-hot labels (B, classes).
        y_pred: logits (B, T, classes).
        sample_weight: optional weights of the samples, (B,) or (B, 1), or of the steps of each
            sample, (B, T).

    The loss of a sample is the mean over its steps, so that `reduction="none"` gives (B,), and
    `"sum"` their sum over the batch.

    Raises:
        ValueError: for an argument outside its range, logits without a time axis, or labels or
            weights of another shape.

    Example:

    >>> logits = np.zeros((2, 4, 10), "float32")
    >>> round(float(TET()(np.array([3, 7]), logits)), 4)  # log 10
    2.3026

    Source: Deng, Li, Zhang and Gu, ICLR 2022, https://arxiv.org/abs/2202.11946
    """

    def __init__(
        self,
        regularization=0.0,
        level=1.0,
        label_smoothing=0.0,
        reduction="sum_over_batch_size",
        name="tet",
        dtype=None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.regularization = checks.fraction("regularization", regularization, below_one=True)
        self.label_smoothing = checks.fraction("label_smoothing", label_smoothing, below_one=True)
        self.level = float(level)

    def __call__(self, y_true, y_pred, sample_weight=None):
        # Keras reduces the losses of `call`, (B, T), with weights and a mask of that shape.
        y_pred = ops.convert_to_tensor(y_pred)
        step_logits_shape(y_pred)
        if sample_weight is not None:
            sample_weight = _weights(ops.convert_to_tensor(sample_weight), y_pred)
        loss = super().__call__(y_true, y_pred, sample_weight)
        if self.reduction == "sum":
            return loss / ops.cast(ops.shape(y_pred)[1], loss.dtype)
        return ops.mean(loss, axis=1) if self.reduction in (None, "none") else loss

    def call(self, y_true, y_pred):
        """Return the loss of each step, (B, T)."""
        classes = y_pred.shape[-1]
        target = one_hot(y_true, classes)
        target = target * (1 - self.label_smoothing) + self.label_smoothing / classes
        target = ops.broadcast_to(target[:, None], ops.shape(y_pred))
        losses = ops.categorical_crossentropy(target, y_pred, from_logits=True)
        if self.regularization:
            distance = ops.mean(ops.square(y_pred - self.level), axis=-1)
            losses = (1 - self.regularization) * losses + self.regularization * distance
        return losses

    def get_config(self):
        return {
            **super().get_config(),
            "regularization": self.regularization,
            "level": self.level,
            "label_smoothing": self.label_smoothing,
        }


@keras.saving.register_keras_serializable("keras_staa")
class Distillation(keras.losses.Loss):
    """Divergence of the logits of each time step from those of a teacher.

    `temperature**2 * (KL(p, q_mean) + mean_t KL(p, q[t])) / 2`, where p are the probabilities of
    the teacher at the temperature, q[t] those of step t, and q_mean those of the mean of the logits
    over the steps. It asks the mean and every step to agree with the teacher, and is for networks
    with `step_logits=True`. Add the cross-entropy of the labels to it.

    Args:
        temperature: positive float, by which the logits are divided. The higher, the more the small
            probabilities count.
        reduction, name, dtype: as in `keras.losses.Loss`.

    Call arguments:
        y_true: logits of the teacher (B, classes).
        y_pred: logits (B, T, classes).
        sample_weight: optional weights of the samples, (B,) or (B, 1).

    Raises:
        ValueError: for a temperature that is not positive, or logits of other shapes.

    Example:

    >>> teacher, logits = np.array([[2.0, 0.0]]), np.array([[[2.0, 0.0], [0.0, 2.0]]])
    >>> 0 < float(Distillation(temperature=1.0)(teacher, logits)) < 1.0
    True

    Source: Hinton, Vinyals and Dean, 2015, https://arxiv.org/abs/1503.02531, for every step as in
    https://arxiv.org/abs/2501.15925
    """

    def __init__(
        self,
        temperature=3.0,
        reduction="sum_over_batch_size",
        name="distillation",
        dtype=None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.temperature = checks.positive("temperature", temperature)

    def call(self, y_true, y_pred):
        """Return the loss of each sample, (B,)."""
        classes = step_logits_shape(y_pred)[-1]
        if len(y_true.shape) != 2 or y_true.shape[-1] != classes:
            raise ValueError(
                f"`y_true` must be the logits of a teacher, (batch, {classes}). Received: "
                f"y_true.shape={tuple(y_true.shape)}"
            )
        goal = y_true[:, None] / self.temperature
        mean = ops.mean(y_pred, axis=1, keepdims=True)
        of_mean, of_steps = (_divergence(goal, x / self.temperature) for x in (mean, y_pred))
        return self.temperature**2 * (of_mean + of_steps) / 2

    def get_config(self):
        return {**super().get_config(), "temperature": self.temperature}


def _divergence(goal, logits):
    """KL of softmax(goal) (B, 1, C) and softmax(logits) (B, T, C), averaged over T: (B,)."""
    log_p, log_q = ops.log_softmax(goal, axis=-1), ops.log_softmax(logits, axis=-1)
    return ops.mean(ops.sum(ops.exp(log_p) * (log_p - log_q), axis=-1), axis=1)


def one_hot(labels, classes):
    """Labels (B,), (B, 1) or one-hot (B, classes) as float32 (B, classes)."""
    labels = ops.convert_to_tensor(labels)
    rank, last = len(labels.shape), labels.shape[-1] if len(labels.shape) else None
    if rank == 2 and last == classes and classes > 1:
        return ops.cast(labels, "float32")
    if rank != 1 and not (rank == 2 and last in (1, None)):
        raise ValueError(
            f"`y_true` must be integer labels (batch,) or (batch, 1), or one-hot labels (batch, "
            f"{classes}). Received: y_true.shape={tuple(labels.shape)}"
        )
    return ops.one_hot(ops.reshape(ops.cast(labels, "int32"), (-1,)), classes, dtype="float32")


def step_logits_shape(y_pred):
    """Return the shape (B, T, classes) of logits of each step."""
    if len(y_pred.shape) != 3:
        raise ValueError(
            "`y_pred` must be the logits of each step, (batch, steps, classes), as a network with "
            f"`step_logits=True` gives them. Received: y_pred.shape={tuple(y_pred.shape)}"
        )
    return tuple(y_pred.shape)


def _weights(sample_weight, y_pred):
    """Weights of samples or of steps as those of steps, (B, T)."""
    given, shape = tuple(sample_weight.shape), tuple(y_pred.shape)
    wanted = (shape[0], shape[1] if len(given) == 2 and given[1] != 1 else 1)[: len(given)]
    same = all(None in pair or pair[0] == pair[1] for pair in zip(given, wanted, strict=False))
    if len(given) > 2 or not same:
        raise ValueError(
            "`sample_weight` must hold a weight for each sample, (batch,), or for each step of "
            f"each sample, (batch, steps), where y_pred.shape={shape}. Received: "
            f"sample_weight.shape={given}"
        )
    weight = ops.expand_dims(sample_weight, 1) if len(given) == 1 else sample_weight
    return ops.broadcast_to(weight, ops.shape(y_pred)[:2])


@keras.saving.register_keras_serializable("keras_staa")
class FiringRate(keras.regularizers.Regularizer):
    """What `firing_rate_penalty` gives to layers: `B * strength * (mean firing rate - target)**2`.

    Keras divides what it gets of a layer's output by the batch size B.

    Args:
        target: float in [0, 1], spikes of a neuron in a time step.
        strength: positive float.

    Example:

    >>> float(FiringRate(target=0.5, strength=4.0)(ops.ones((2, 3, 4))))
    2.0
    """

    def __init__(self, target=0.1, strength=1.0):
        self.target = checks.fraction("target", target)
        self.strength = checks.positive("strength", strength)

    def __call__(self, spikes):
        rate = ops.mean(ops.cast(spikes, "float32"))
        batch = ops.cast(ops.shape(spikes)[0], "float32")
        return batch * self.strength * ops.square(rate - self.target)

    def get_config(self):
        return {"target": self.target, "strength": self.strength}


def firing_rate_penalty(model, target=0.1, strength=1.0):
    """Let training draw the firing rate of each layer of neurons to a target.

    Each layer of neurons adds `strength * (rate - target)**2` to the loss of a batch, where the
    rate is the mean over samples, time steps and neurons. Fewer spikes are fewer operations: see
    `keras_staa.insight.report`. The setting belongs to the object: it is not stored with the model.

    Args:
        model: a `keras.Model` or a layer with neurons of this library. Call it before `compile`, or
            compile again.
        target: float in [0, 1], spikes of a neuron in a time step.
        strength: positive float, or None to take the penalty away.

    Returns:
        The same object.

    Raises:
        ValueError: for an argument outside its range, or a model without neurons of this library.

    Example:

    >>> import keras_staa
    >>> model = keras_staa.STAAVGG(width=8, steps=2)
    >>> firing_rate_penalty(model, target=0.05, strength=2.0) is model
    True
    """
    penalty = None if strength is None else FiringRate(target, strength)
    # Of an aggregator with its neuron the outer layer is the one that is called.
    found = spiking_layers(model)
    if not found:
        raise ValueError(f"`model` must have neurons of this library. Received: model={model!r}")
    for layer in found:
        layer.activity_regularizer = penalty
    return model
