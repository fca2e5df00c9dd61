"""Everything that a page shows of a network, measured."""

import dataclasses

import numpy as np

from keras_staa import checks, insight, presets, streaming, zoo
from keras_staa.insight.energy import Costs
from keras_staa.pages import pictures
from keras_staa.plots import columns_of
from keras_staa.presets import HISTORY
from keras_staa.zoo.measuring import Evaluation, some_samples

# So many samples are shown one by one.
SHOWN = 4


@dataclasses.dataclass(frozen=True)
class Findings:
    """What a page shows of a network.

    Attributes:
        preset: the opened preset.
        alias: string, its short name, or None.
        data: string, what the samples are.
        report: an `insight.Report`.
        memory_ratio: the energy over that of the ReLU network if memory counts.
        inputs: array, the samples that are shown one by one.
        probabilities: array (samples, classes), of those.
        labels: their classes, or None where there are none.
        maps: an `insight.AttentionMaps` of them, or None without aggregators.
        trace: an `insight.Trace` of the first of them.
        evaluation: a `zoo.measuring.Evaluation` of all samples, or None without labels.
        by_step: array (T, samples), the probability of the predicted class after each step, of
            those that are shown, or None where the network has one step.
        accuracy_by_step: tuple of T accuracies, or None without labels or with one step.
        history: dictionary of the columns of the training, or None.
    """

    preset: object
    alias: str | None
    data: str
    report: insight.Report
    memory_ratio: float
    inputs: np.ndarray
    probabilities: np.ndarray
    labels: np.ndarray | None
    maps: insight.AttentionMaps | None
    trace: insight.Trace
    evaluation: Evaluation | None
    by_step: np.ndarray | None
    accuracy_by_step: tuple | None
    history: dict | None


def look_at(name, source=None, samples=500, *, data_dir=None, cache_dir=None, verbose=1):
    """Measure everything that a page shows of a trained network.

    Args:
        name: name, alias or folder of a preset.
        source: a data set, file or folder, as `keras_staa.zoo.evaluate` takes it. Default: that of
            the preset if there is a `data_dir`, or else pictures that scikit-image ships, which
            for networks for frames move in front of a simulated camera.
        samples: positive integer, how many samples of the data set are used.
        data_dir, cache_dir: as for `keras_staa.zoo.evaluate`.
        verbose: 1 shows progress bars, 0 does not.

    Returns:
        A `Findings`.

    Raises:
        ValueError: if the preset or the data set is not there, or the network does not classify.
        ImportError: if scikit-image or Pillow is needed and not installed.
    """
    samples = checks.positive_int("samples", samples)
    preset = presets.open_preset(name)
    model = zoo.load(name, step_logits=False, classifier_activation="softmax")
    shape = model.input_shape[1:]
    if not preset.arguments.get("include_top", True) or None in shape:
        raise ValueError(
            f"`name` must be a preset that classifies samples of a fixed size. Received: {name!r}"
        )
    x, y, about = _samples(preset, shape, source, samples, data_dir, cache_dir)
    shown, labels = x[:SHOWN], None if y is None else y[:SHOWN]
    found = insight.report(model, x, batch_size=50, verbose=verbose)
    found = dataclasses.replace(found, name=preset.name)
    by_step, accuracy = _steps(preset, name, x, y, shown, verbose)
    evaluation = None
    if y is not None:
        guesses = model.predict(x, batch_size=50, verbose=0).argmax(axis=-1)
        evaluation = Evaluation(preset.name, y, guesses, preset.class_names)
    history = preset.folder / HISTORY
    return Findings(
        preset=preset,
        alias=next((a for a, full in presets.aliases().items() if full == preset.name), None),
        data=about,
        report=found,
        memory_ratio=_with_memory(found),
        inputs=shown,
        probabilities=model.predict(shown, verbose=0),
        labels=labels,
        maps=insight.attention_maps(model, shown) if _has_attention(found) else None,
        trace=_trace(model, found, shown),
        evaluation=evaluation,
        by_step=by_step,
        accuracy_by_step=accuracy,
        history=columns_of(history) if history.is_file() else None,
    )


def _samples(preset, shape, source, samples, data_dir, cache_dir):
    """Return inputs, classes or None, and what they are."""
    if source is None and data_dir is None:
        about = "four freely licensed pictures that scikit-image ships"
        if len(shape) == 3:
            return pictures.pictures(shape), None, about
        about += ", moved in front of a simulated event camera: not what the network was trained on"
        return pictures.moving(shape), None, about
    places = {"data_dir": data_dir, "cache_dir": cache_dir}
    x, y = some_samples(preset, source, samples, shuffle=True, **places)
    split = preset.accuracy.split if preset.accuracy else "test"
    return x, y, f"{len(x)} samples of the {split} split of {preset.data_set}, drawn at random"


def _with_memory(report):
    costs = Costs(report.costs.mac, report.costs.ac, report.costs.byte, memory=True)
    spent, relu = zip(*map(costs.energy, report.layers), strict=True)
    return sum(spent) / sum(relu)


def _has_attention(report):
    return any(layer.kind == "attention" or layer.additions for layer in report.layers)


def _steps(preset, name, x, y, shown, verbose):
    """Return the probabilities of the predicted classes after each step, and the accuracies."""
    if preset.steps == 1:
        return None, None
    given = {"step_logits": False, "classifier_activation": "softmax"}
    stepper = streaming.Stepper(zoo.load(name, causal=True, **given))
    found = np.stack(list(stepper.each_step(shown)))
    by_step = found[:, np.arange(len(shown)), found[-1].argmax(axis=-1)]
    if y is None:
        return by_step, None
    return by_step, insight.accuracy_by_step(stepper, x, y, 50, verbose).accuracy


def _trace(model, report, shown):
    """Trace neurons in the middle of the network: those that fire most, and some others."""
    names = [layer.name for layer in report.layers if layer.neurons]
    name = names[len(names) // 2]
    every = insight.trace(model, shown[:1], name, neurons=2000)
    order = every.spikes[0].sum(axis=0).argsort(kind="stable")[::-1]
    chosen = [*order[:2], *order[len(order) // 3 : len(order) // 3 + 2]]
    return insight.trace(model, shown[:1], name, [every.neurons[i] for i in chosen])
