"""Each of several processes reads its part of every batch, and all of them the whole."""

import keras
import numpy as np
import pytest

from keras_staa import data


@pytest.fixture
def file(tmp_path):
    x = np.arange(22, dtype="uint8")[:, None, None, None] + np.zeros((1, 4, 4, 1), "uint8")
    np.savez(tmp_path / "some.npz", x_train=x, y_train=np.arange(22) % 2)
    return tmp_path / "some.npz"


def batches_of(samples):
    return [keras.ops.convert_to_numpy(x) for x, *_ in samples]


def numbers(batch):
    return sorted(np.round(batch[:, 0, 0, 0] * 255).astype(int))


def test_the_parts_of_a_batch_are_the_batch(file):
    given = {"batch_size": 6, "seed": 3, "drop_remainder": True}
    whole = data.images(file, **given)
    parts = [data.images(file, shard=(index, 3), **given) for index in range(3)]
    for epoch in range(2):
        for each in (whole, *parts):
            each.set_epoch(epoch)
        read = [batches_of(part) for part in parts]
        assert [len(part) for part in read] == [3, 3, 3]
        for index, batch in enumerate(batches_of(whole)):
            together = np.concatenate([part[index] for part in read])
            np.testing.assert_array_equal(together, batch)


def test_the_parts_have_draws_of_their_own(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (1, 8, 8, 3), dtype="uint8")
    np.savez(tmp_path / "same.npz", x_train=image.repeat(8, 0), y_train=np.arange(8) % 2)
    given = {"batch_size": 8, "drop_remainder": True, "augment": "crop"}
    first, second = (
        batches_of(data.images(tmp_path / "same.npz", shard=(index, 2), **given))[0]
        for index in range(2)
    )
    assert first.shape == second.shape == (4, 8, 8, 3)
    assert not np.array_equal(first, second)


@pytest.mark.parametrize(
    "given, message",
    [
        ({"shard": (2, 2)}, "`shard` must be None or .index, count.*Received: shard=.2, 2."),
        ({"shard": 2}, "`shard` must be None or"),
        ({"shard": (0, 4)}, "`batch_size` must be divided by .*batch_size=6, shard=.0, 4."),
        ({"shard": (0, 2), "drop_remainder": False}, "`drop_remainder` must be True with `shard`"),
    ],
)
def test_shards_that_are_none(file, given, message):
    with pytest.raises(ValueError, match=message):
        data.images(file, **{"batch_size": 6, "drop_remainder": True, **given})
