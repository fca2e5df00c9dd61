"""The published networks on real images: one answer on all backends, and the accuracy stated."""

import keras
import numpy as np
import pytest

from benchmarks import agreement
from keras_staa import presets, zoo
from tests.real import cifar10_test

OF_CIFAR10 = [n for n in zoo.list_models() if zoo.describe(n)["data_set"] == "cifar10"]
# Fewest time steps first: a quick run on one backend takes the first.
OF_CIFAR10.sort(key=lambda name: zoo.describe(name)["steps"])
# The others on a thousand images by `make test-full`, and on all of them by `make test-all`.
PART = [OF_CIFAR10[0], *(pytest.param(n, marks=pytest.mark.slow) for n in OF_CIFAR10[1:])]


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="runs all backends at once")
@pytest.mark.parametrize("name", OF_CIFAR10)
def test_the_backends_give_one_answer(name):
    for backend in agreement.BACKENDS:
        pytest.importorskip(backend)
    images = cifar10_test()[0][:256]
    result = agreement.compare(agreement.probabilities(name, images))
    assert result["images"] == 256
    assert result["differ"] <= 2, result


@pytest.mark.parametrize("name", PART)
@pytest.mark.heavy
def test_part_of_the_test_images_is_recognized_as_stated(name):
    """A thousand images: four deviations of a binomial, over the whole test set's figure."""
    images, labels = (part[:1000] for part in cifar10_test())
    stated = zoo.describe(name)["accuracy"]["value"]
    guesses = zoo.load(name).predict(images, batch_size=250, verbose=0).argmax(-1)
    deviation = np.sqrt(stated * (1 - stated) / len(images))
    assert abs(np.mean(guesses == labels) - stated) < 4 * deviation


@pytest.mark.slow
@pytest.mark.release
@pytest.mark.once  # The backends are compared above.
@pytest.mark.parametrize("name", OF_CIFAR10)
def test_the_stated_accuracy(name):
    images, labels = cifar10_test()
    guesses = zoo.load(name).predict(images, batch_size=250, verbose=0).argmax(-1)
    # Rounding flips single spikes: an image in a thousand may fall on another side elsewhere.
    assert abs(np.mean(guesses == labels) - zoo.describe(name)["accuracy"]["value"]) <= 1e-3


def test_the_alias_is_the_most_accurate_of_the_small():
    described = [zoo.describe(name) for name in OF_CIFAR10]
    small = [p for p in described if p["bytes"] <= 6_000_000]
    best = max(small, key=lambda p: p["accuracy"]["value"])
    assert presets.aliases()["cifar10"] == best["name"]
