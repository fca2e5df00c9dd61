"""`attention_maps`: where, in which channels and when aggregators look."""

import dataclasses

import keras
import numpy as np
from keras import ops

from keras_staa import _keras, checks
from keras_staa.insight import finding, watching
from keras_staa.layers.staa_neurons import SPIKING, STAALIF, STAANeuron
from keras_staa.ops.gradient import pullback

WITH_ATTENTION = (*watching.AGGREGATORS, STAALIF, STAANeuron)


@dataclasses.dataclass(frozen=True)
class LayerAttention:
    """What an aggregator does to a batch, None for a part that it does not have.

    Attributes:
        attention: array (B, T, h, w), the softmax over space of the global context. Its sum is 1.
        channel_gate: array (B, T, C), in (0, 2).
        step_gate: array (B, T), in (0, 2).
        position: array (T, h, w, C), the position encoding.
    """

    attention: np.ndarray | None = None
    channel_gate: np.ndarray | None = None
    step_gate: np.ndarray | None = None
    position: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class AttentionMaps:
    """What the aggregators of a network do to a batch, and what a class depends on.

    Attributes:
        layers: dictionary from names of layers to `LayerAttention`.
        outputs: array, what the network says.
        grad_cam: array (B, T, h, w) in [0, 1], or None where there is no class.
        classes: array (B,), the classes that `grad_cam` is for, or None.
    """

    layers: dict
    outputs: np.ndarray
    grad_cam: np.ndarray | None = None
    classes: np.ndarray | None = None


def attention_maps(model, images, layers=None, classes=None, batch_size=32):
    """Return what the aggregators of a network attend to, and Grad-CAM for a class.

    Grad-CAM weighs the spikes in front of the read-out by how much the class's logit depends on
    each channel, and shows where what speaks for the class is. Each image has its largest value 1.

    Args:
        model: a built functional or sequential `keras.Model`.
        images: array (B, H, W, C), or frames (B, T, H, W, C).
        layers: list of names of layers with an aggregator. Default: all.
        classes: the class or classes for Grad-CAM: an integer, or integers (B,). Default: the
            class with the largest output.
        batch_size: positive integer.

    Returns:
        An `AttentionMaps`.

    Raises:
        ValueError: for a model without aggregators, a name that is not that of one, images of
            another shape, or a class that does not exist.

    Example:

    >>> import keras_staa
    >>> model = keras_staa.STAAVGG(width=8, steps=2)
    >>> found = attention_maps(model, np.random.rand(4, 32, 32, 3).astype("float32"))
    >>> found.layers["stage3_2_neuron"].attention.shape, found.grad_cam.shape
    ((4, 2, 8, 8), (4, 2, 2, 2))

    Source: the paper's aggregator; Selvaraju et al., ICCV 2017, for Grad-CAM.
    """
    finding.check_model(model)
    every = finding.layers_of_kind(model, WITH_ATTENTION)
    if not every:
        raise ValueError(f"`model` must have an aggregator. Received: {model.name!r}")
    given = list(every) if layers is None else [layers] if isinstance(layers, str) else list(layers)
    wanted = {n: finding.named("layers", n, every, "a layer with an aggregator") for n in given}
    images, batch_size = np.asarray(images), checks.positive_int("batch_size", batch_size)
    if images.ndim and not len(images):
        raise ValueError("`images` must have samples. Received: none")
    finding.check_batch(images, model)
    cam = _Cam(model) if _has_classes(model) else None

    def look(layer):
        if layer.name in wanted and wanted[layer.name] is layer:
            return lambda x, y: _parts(layer, x)
        return None

    watched = watching.Watched(model, look)
    batches = [watched.predict_on_batch(x) for x in watching.batches_of(images, batch_size)]
    found = {
        name: LayerAttention(**{part: _joined(part, name, batches) for part in batches[0][name]})
        for name in wanted
    }
    outputs = model.predict(images, batch_size=batch_size, verbose=0)
    if cam is None:
        return AttentionMaps(found, outputs)
    scores = outputs.reshape(len(images), -1, outputs.shape[-1]).mean(axis=1)
    classes = _classes(classes, scores)
    pairs = (watching.batches_of(values, batch_size) for values in (images, classes))
    maps = [cam(*pair) for pair in zip(*pairs, strict=True)]
    return AttentionMaps(found, outputs, np.concatenate(maps), classes)


def _joined(part, name, batches):
    parts = [np.asarray(batch[name][part]) for batch in batches]
    return parts[0] if part == "position" else np.concatenate(parts)


def _parts(layer, x):
    """Return what an aggregator makes of a current, by its equations one after the other."""
    position, context, step = watching.parts_of(getattr(layer, "staa", layer))
    x, found = ops.cast(x, "float32"), {}
    if position is not None:
        found["position"] = ops.cast(position.encoding(), "float32")
        x = x + found["position"]
    if context is not None:
        b, t, h, w, c = ops.shape(x)
        flat = ops.reshape(x, (-1, t, h * w, c))
        logits = ops.matmul(flat, ops.cast(context.query(), "float32")[:, None])[..., 0]
        weights = ops.exp(logits - ops.max(logits, axis=2, keepdims=True))
        weights = weights / ops.sum(weights, axis=2, keepdims=True)
        found["attention"] = ops.reshape(weights, (-1, t, h, w))
        found["channel_gate"] = context.gate(ops.sum(weights[..., None] * flat, axis=2))
    if step is not None:
        axes = (2, 3) if step.summary == "channels" else (2, 3, 4)
        found["step_gate"] = step.gate(ops.mean(x, axis=axes))
    return found


def _has_classes(model):
    return len(model.outputs) == 1 and len(model.output_shape) in (2, 3)


def _classes(classes, scores):
    number = scores.shape[-1]
    if classes is None:
        return scores.argmax(axis=-1)
    found = np.broadcast_to(np.asarray(classes), (len(scores),))
    if found.dtype.kind not in "iu" or not ((found >= 0) & (found < number)).all():
        raise ValueError(
            f"`classes` must be an integer from 0 to {number - 1}, or one for each image. "
            f"Received: classes={classes!r}"
        )
    return found


class _Cam:
    """Grad-CAM at the last neurons (B, T, h, w, C) of a model."""

    def __init__(self, model):
        last = [layer.output for layer in model.layers if _is_map(layer)]
        if not last:
            raise ValueError(
                "`model` must have neurons (B, T, h, w, C) that are no part of an inner model. "
                f"Received: {model.name!r}"
            )
        end = model.outputs[0]
        made = _keras.made_by(end)
        if isinstance(made, keras.layers.Activation | keras.layers.Softmax):
            # The logits and not the probabilities, as they are in front of the softmax.
            (end,) = _keras.inputs_of(end)
        self.front = keras.Model(model.inputs, last[-1])
        self.back = keras.Model(last[-1], end)

    def __call__(self, images, classes):
        maps = ops.cast(self.front(ops.convert_to_tensor(images)), "float32")
        rows = np.arange(len(images))

        def score(maps):
            logits = ops.cast(self.back(maps), "float32")
            logits = logits if len(logits.shape) == 2 else ops.mean(logits, axis=1)
            chosen = np.zeros(logits.shape, "float32")
            chosen[rows, classes] = 1
            return (ops.sum(logits * ops.convert_to_tensor(chosen)),)

        (gradient,) = pullback(score, (maps,), (ops.ones(()),))
        maps, gradient = (ops.convert_to_numpy(ops.stop_gradient(v)) for v in (maps, gradient))
        weights = gradient.mean(axis=(2, 3), keepdims=True)
        cam = np.maximum((weights * maps).sum(axis=-1), 0)
        top = cam.max(axis=(1, 2, 3), keepdims=True)
        return np.divide(cam, top, out=np.zeros_like(cam), where=top > 0)


def _is_map(layer):
    if not isinstance(layer, SPIKING):
        return False
    outputs = layer.output
    return keras.backend.is_keras_tensor(outputs) and len(outputs.shape) == 5
