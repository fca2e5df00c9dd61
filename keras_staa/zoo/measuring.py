"""Measure presets: on the data that their card speaks of, or on other data."""

import dataclasses
import itertools

import keras
import numpy as np
from keras import ops

from keras_staa import data, presets
from keras_staa.zoo.loading import load

# What rounding may change between backends and processors: one image in a thousand.
TOLERANCE = 1e-3


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What a network says of labeled samples.

    Attributes:
        name: string, name of the preset.
        labels: integers (samples,), the classes.
        guesses: integers (samples,), the predicted classes.
        class_names: list of strings.
    """

    name: str
    labels: np.ndarray
    guesses: np.ndarray
    class_names: list

    @property
    def samples(self):
        """Number of samples."""
        return len(self.labels)

    @property
    def accuracy(self):
        """Share of the samples whose class is predicted, in [0, 1]."""
        return float(np.mean(self.labels == self.guesses))

    @property
    def confusion(self):
        """How many samples of a class (rows) are taken for which class (columns)."""
        counts = np.zeros((len(self.class_names),) * 2, int)
        np.add.at(counts, (self.labels, self.guesses), 1)
        return counts


@dataclasses.dataclass(frozen=True)
class Verification:
    """The accuracy that a preset states, and the one that was measured again.

    Attributes:
        name: string, name of the preset.
        stated: what `preset.json` says, in [0, 1].
        measured: what was measured, in [0, 1].
        samples: on how many samples.
        tolerance: by how much the two may differ.
    """

    name: str
    stated: float
    measured: float
    samples: int
    tolerance: float

    @property
    def agrees(self):
        """Whether the two are the same within the tolerance."""
        # The stated one is rounded to four digits.
        return abs(self.stated - self.measured) <= self.tolerance + 5e-5


def evaluate(
    name_or_folder, source=None, split=None, *, data_dir=None, cache_dir=None, batch_size=128
):
    """Measure the accuracy of a preset.

    Args:
        name_or_folder: what `load` takes.
        source: a data set, as `keras_staa.data.images` or, for a network for frames,
            `keras_staa.data.events` takes it. Its classes must be those of the preset. Default:
            the data set that the preset was trained on.
        split: string, a split of it. Default: the one that the accuracy is stated for.
        data_dir: optional path of the folder with prepared data sets.
        cache_dir: optional path of the folder for cached frames of event recordings.
        batch_size: positive integer.

    Returns:
        An `Evaluation`, with `accuracy`, `samples`, `labels`, `guesses` and `confusion`.

    Raises:
        ValueError: if the preset or the data set is not there, or has other classes.

    Example:

    ```python
    found = keras_staa.zoo.evaluate("cifar10", data_dir="data")
    found.accuracy, found.confusion
    ```
    """
    preset = presets.open_preset(name_or_folder)
    samples = read_samples(preset, source, split, data_dir, cache_dir, batch_size)
    return _evaluation(preset, name_or_folder, samples)


def verify(name_or_folder, source=None, *, data_dir=None, cache_dir=None, batch_size=128):
    """Measure the accuracy that a preset states again, on the same samples.

    Of event recordings it is checked that they are the same, and cut into samples in the same way.

    Args:
        name_or_folder: what `load` takes.
        source: where the data set is, as for `evaluate`. Default: its name.
        data_dir, cache_dir, batch_size: as for `evaluate`.

    Returns:
        A `Verification`, with `stated`, `measured`, `samples` and `agrees`. They agree if they
        differ by at most one sample, or one sample in a thousand.

    Raises:
        ValueError: if the preset states no accuracy, or the samples are not those that it was
            measured on.

    Example:

    ```python
    keras_staa.zoo.verify("cifar10", data_dir="data").agrees
    ```
    """
    preset = presets.open_preset(name_or_folder)
    if preset.accuracy is None:
        raise ValueError(f"{preset.path} states no accuracy that could be measured again.")
    samples = read_samples(preset, source, None, data_dir, cache_dir, batch_size)
    if (described := preset.training.get("test_data")) is not None:
        _check_same(samples, described, preset)
    found = _evaluation(preset, name_or_folder, samples)
    if found.samples != preset.accuracy.images:
        raise ValueError(
            f"{preset.path} states an accuracy on {preset.accuracy.images} samples, but the data "
            f"set has {found.samples}."
        )
    tolerance = max(TOLERANCE, 1 / found.samples)
    return Verification(
        preset.name, preset.accuracy.value, found.accuracy, found.samples, tolerance
    )


def read_samples(preset, source, split, data_dir, cache_dir, batch_size, steps=None, shuffle=False):
    """Return batches of a data set, read as the preset was trained on its own.

    Args:
        preset: an opened preset.
        source, split, data_dir, cache_dir, batch_size: as for `evaluate`.
        steps: number of frames of an event recording, by default that of the preset.
        shuffle: boolean.
    """
    split = split or (preset.accuracy.split if preset.accuracy else "test")
    same = {"batch_size": batch_size, "data_dir": data_dir, "shuffle": shuffle}
    shape = preset.arguments.get("input_shape")
    recipe = preset.training.get("recipe")
    recipe = recipe.get("data", {}) if isinstance(recipe, dict) else {}
    if shape is None or len(shape) == 3:
        size = recipe.get("test_size", recipe.get("size"))
        crop = recipe.get("crop_to_aspect_ratio", False)
        source = preset.data_set if source is None else source
        size = tuple(size) if isinstance(size, list) else size
        samples = data.images(source, split, size=size, crop_to_aspect_ratio=crop, **same)
        names = getattr(samples, "classes", None) or data.class_names(source, data_dir=data_dir)
    else:
        described = preset.training.get("test_data") or {
            "steps": shape[0],
            "by": "time",
            "size": shape[1:3],
        }
        how = {key: described.get(key) for key in ("steps", "by", "size", "sensor_size")}
        how["steps"] = steps or how["steps"]
        for key in ("window", "stride"):
            found = described.get(key)
            how[key] = None if found is None else found / 1e6
        normalize = preset.training.get("normalize", False)
        samples = data.events(
            preset.data_set if source is None else source,
            split=split,
            normalize=normalize,
            cache_dir=cache_dir,
            **how,
            **same,
        )
        names = samples.classes
    # A file of arrays without names has the numbers of its classes for names.
    unnamed = [str(label) for label in range(len(preset.class_names))]
    if list(names) not in (preset.class_names, unnamed):
        raise ValueError(
            f"`source` must have the classes of preset {preset.name!r}, {preset.class_names}. "
            f"Received: {list(names)}"
        )
    return samples


def some_samples(
    preset, source, count, split=None, *, data_dir=None, cache_dir=None, shuffle=False
):
    """Return some samples of a data set, read as `read_samples` does.

    Args:
        preset: an opened preset.
        source, split, data_dir, cache_dir: as for `evaluate`.
        count: positive integer; there may be fewer.
        shuffle: whether they are drawn, always the same, instead of the first ones.

    Returns:
        Arrays x (N, ...), float32, and y (N,), the classes.
    """
    size = min(count, 100)
    where = (source, split, data_dir, cache_dir, size)
    batches = read_samples(preset, *where, shuffle=shuffle)
    found = list(itertools.islice(batches, -(-count // size)))
    x, y = (np.concatenate([ops.convert_to_numpy(b[i]) for b in found]) for i in range(2))
    return x[:count].astype("float32"), y[:count]


def _check_same(samples, described, preset):
    if samples.fingerprint != described["split_fingerprint"]:
        raise ValueError(
            f"`source` must be the recordings that preset {preset.name!r} was measured on, with "
            f"the fingerprint {described['split_fingerprint']}. Received: a split "
            f"{described['split']!r} with {samples.fingerprint}"
        )


def _evaluation(preset, name_or_folder, samples):
    # Logits of each step have their mean as the answer.
    model = load(name_or_folder, step_logits=False)
    labels, guesses = [], []
    for x, y in samples:
        labels.append(keras.ops.convert_to_numpy(y))
        guesses.append(np.argmax(model.predict_on_batch(x), axis=-1))
    return Evaluation(
        preset.name, np.concatenate(labels), np.concatenate(guesses), preset.class_names
    )
