"""What the scripts for event recordings share: which samples are learned from, which measured."""

import numpy as np

import keras_staa

# Of the recordings of each class, or of the time of each recording where a class has but one.
LEARNED = 80


def splits(source, split, test_split, held_out, train, test, **both):
    """Return the samples to learn from and those to measure.

    Args:
        source: as in `keras_staa.data.events`.
        split, test_split: strings, its splits.
        held_out: whether to measure on a fifth of `split`, kept apart, and not on `test_split`.
        train, test, both: dictionaries of further arguments of `keras_staa.data.events`.

    Returns:
        Two `Frames`.
    """
    train, test = {**both, **train}, {**both, **test, "shuffle": False}
    if not held_out:
        learned = keras_staa.data.events(source, split=split, **train)
        return learned, keras_staa.data.events(source, split=test_split, **test)
    learned = keras_staa.data.events(source, split=split, **train)
    measured = keras_staa.data.events(source, split=split, **test)
    return apart(learned, True), apart(measured, False)


def apart(frames, learned):
    """Return the samples to learn from (`learned=True`), or the held-out fifth."""
    cache = frames.cache
    labels = np.zeros(len(cache.names), int)
    labels[cache.recordings] = cache.labels
    if np.bincount(labels).min() == 1:
        # No window may reach from one part into the other.
        window, ends = frames.description["window"], np.zeros(len(cache.names))
        np.maximum.at(ends, cache.recordings, cache.starts + window)
        border = LEARNED / 100 * ends[cache.recordings]
        early = cache.starts + window <= border
        return frames.take(np.flatnonzero(early if learned else cache.starts >= border))
    places = np.empty(len(labels))
    for label in set(labels):
        members = np.flatnonzero(labels == label)
        places[members] = np.arange(len(members)) / len(members)
    early = places[cache.recordings] < LEARNED / 100
    return frames.take(np.flatnonzero(early if learned else ~early))


def described(description, source, **arguments):
    """Read the samples that `Frames.description` describes, and check that they are the same."""
    names = ("split", "steps", "by", "size", "sensor_size")
    seconds = {
        name: None if description[name] is None else description[name] / 1e6
        for name in ("window", "stride")
    }
    frames = keras_staa.data.events(
        source, **{name: description[name] for name in names}, **seconds, **arguments
    )
    if frames.fingerprint != description["split_fingerprint"]:
        raise ValueError(
            f"`source` must be the recordings of {description['source']} that were described, "
            f"with the fingerprint {description['split_fingerprint']}. Received: {source!r}, "
            f"whose split {description['split']!r} has {frames.fingerprint}"
        )
    return frames
