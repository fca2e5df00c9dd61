"""The measurement of corruptions, calibration and bfloat16."""

import sys

import numpy as np
import pytest

from tests.real import ROOT
from tests.zoo.support import registered, saved

sys.path.insert(0, str(ROOT / "benchmarks"))
import robustness  # noqa: E402


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    return np.round(255 * (0.3 + 0.4 * rng.random((20, 16, 16, 3)))).astype("float32") / 255


def test_corruptions_are_what_they_say(images):
    def of(name, strength):
        return robustness.corrupted(images, name, strength)

    for name, (_, strengths) in robustness.CORRUPTIONS.items():
        # The stronger one is further away.
        distances = [np.abs(of(name, strength) - images).mean() for strength in strengths]
        assert 0 < distances[0] < distances[1] < distances[2], name
    assert np.std(of("noise", 0.04) - images) == pytest.approx(0.04, rel=0.05)
    np.testing.assert_array_equal(of("noise", 0.04), of("noise", 0.04))
    np.testing.assert_allclose(of("brightness", 0.1) - images, 0.1, atol=1e-6)
    assert of("brightness", 0.9).max() == 1
    means = images.mean(axis=(1, 2))
    np.testing.assert_allclose(of("contrast", 0.5).mean(axis=(1, 2)), means, atol=1e-5)
    np.testing.assert_allclose(of("contrast", 0.5).std(), images.std() / 2, rtol=0.05)
    np.testing.assert_allclose(of("blur", 1.0).mean(axis=(1, 2)), means, atol=0.01)


def test_images_of_one_channel_are_compressed(images):
    found = robustness.corrupted(images[..., :1], "JPEG", 50)
    assert found.shape == (20, 16, 16, 1) and 0 < np.abs(found - images[..., :1]).mean() < 0.2


def test_the_calibration_error_by_hand():
    # Three bins: two images at 0.6 of which one is right, one at 0.9 that is right.
    probabilities = np.array([[0.6, 0.4], [0.4, 0.6], [0.1, 0.9]])
    expected = 2 / 3 * abs(0.5 - 0.6) + 1 / 3 * abs(1.0 - 0.9)
    found = robustness.calibration_error(probabilities, np.array([0, 0, 1]), bins=3)
    assert found == pytest.approx(expected)
    sure = np.eye(4)
    assert robustness.calibration_error(sure, np.arange(4)) == 0
    assert robustness.calibration_error(sure, (np.arange(4) + 1) % 4) == 1


def test_it_prints_a_table_of_presets(images, monkeypatch, tmp_path, capsys):
    registered(monkeypatch)
    folder = saved(tmp_path / "tiny_w4_t1.noise")
    file = tmp_path / "noise.npz"
    np.savez(file, x_test=(255 * images).astype("uint8"), y_test=np.arange(20) % 3)
    robustness.main([str(folder), str(folder), "--npz", str(file), "--images", "12"])
    heading, _, columns, line, *rows = capsys.readouterr().out.splitlines()
    assert heading == "12 test images"
    assert columns == "| images | `tiny_w4_t1.noise` | `tiny_w4_t1.noise` |"
    assert line == "| --- | --- | --- |"
    table = {row.split("|")[1].strip(): row.split("|")[2].strip() for row in rows}
    assert len(rows) == 4 + 15 and table["JPEG 25"].endswith("%")
    count, total = table["another class in mixed_bfloat16"].split(" of ")
    assert 0 <= int(count) <= 12 and total == "12"
    # Without one image of another class, nothing changes in the accuracy either.
    assert int(count) or table["in mixed_bfloat16"] == table["as they are"]
