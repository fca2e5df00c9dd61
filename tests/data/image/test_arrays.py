"""Images from a file of NumPy arrays."""

import keras
import numpy as np
import pytest

from keras_staa import data


@pytest.fixture
def file(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {
        "x_train": rng.integers(0, 256, (20, 6, 5, 3), dtype="uint8"),
        "y_train": np.arange(20).reshape(-1, 1) % 4,
        "x_test": rng.integers(0, 256, (7, 6, 5, 3), dtype="uint8"),
        "y_test": np.arange(7) % 3,
    }
    np.savez(tmp_path / "some.npz", **arrays)
    return tmp_path / "some.npz", arrays


def all_of(batches):
    parts = [[keras.ops.convert_to_numpy(p) for p in batches[i]] for i in range(len(batches))]
    return [np.concatenate(part) for part in zip(*parts, strict=True)]


def test_the_arrays_come_in_their_order(file):
    path, arrays = file
    x, y = all_of(data.images(path, "test", batch_size=3))
    np.testing.assert_allclose(x, arrays["x_test"] / np.float32(255))
    np.testing.assert_array_equal(y, arrays["y_test"])
    assert x.dtype == np.float32 and y.dtype == np.int32
    x, y = all_of(data.images(str(path), "train[50%:]", batch_size=4, shuffle=False, one_hot=True))
    np.testing.assert_allclose(x, arrays["x_train"][10:] / np.float32(255))
    np.testing.assert_array_equal(y, np.eye(4)[arrays["y_train"][10:, 0]])


def test_each_pass_has_every_sample_in_another_order(file):
    path, arrays = file
    batches = data.images(path, batch_size=4, seed=1)
    orders = []
    for epoch in (0, 1, 0):
        batches.set_epoch(epoch)
        orders.append(all_of(batches)[0])
    np.testing.assert_array_equal(orders[0], orders[2])
    assert not np.array_equal(orders[0], orders[1])
    expected = np.sort((arrays["x_train"] / np.float32(255)).reshape(20, -1), axis=0)
    np.testing.assert_allclose(np.sort(orders[1].reshape(20, -1), axis=0), expected)


def test_classes_and_grey_images(file, tmp_path):
    path, arrays = file
    assert data.class_names(path) == ["0", "1", "2", "3"]
    grey = {"x_train": arrays["x_train"][..., 0], "y_train": arrays["y_train"][:, 0]}
    np.savez(tmp_path / "grey.npz", class_names=list("abcd"), **grey)
    assert data.class_names(tmp_path / "grey.npz") == list("abcd")
    assert data.images(tmp_path / "grey.npz", augment="crop")[0][0].shape == (20, 6, 5, 1)


@pytest.mark.parametrize(
    "changes, given, message",
    [
        ({}, {"split": "validation"}, r"`split` must be one of .'test', 'train'. .*'validation'"),
        ({}, {"size": 8}, r"`size` must be None or \(6, 5\).*Received: size=\(8, 8\)"),
        ({"x_train": np.zeros((20, 6, 5, 3))}, {}, "`source` must hold uint8 images .*float64"),
        ({"y_train": np.zeros(19, int)}, {}, r"`source` must hold .*y_train int64 \(19, 1\)"),
        ({"y_train": np.zeros(20)}, {}, r"`source` must hold .*y_train float64"),
        ({"y_train": np.full(20, -1)}, {}, r"`source` must have labels in \[0, .*\[-1, -1\]"),
        ({"class_names": ["a", "b"]}, {}, r"`source` must have labels in \[0, 2\).*\[0, 3\]"),
        ({"x_train": np.array([None])}, {}, "allow_pickle"),
    ],
)
def test_files_that_do_not_fit(file, tmp_path, changes, given, message):
    np.savez(tmp_path / "other.npz", **{**file[1], **changes})
    with pytest.raises(ValueError, match=message):
        data.images(tmp_path / "other.npz", **given)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ValueError, match="`source` must be a file that is there.*none.npz"):
        data.images(tmp_path / "none.npz")
