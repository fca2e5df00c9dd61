"""The photographs of ImageNet: through folders, and through the schema of TensorFlow Datasets."""

import json
import pathlib
import shutil
import tarfile
import warnings

import keras
import numpy as np
import pytest

from keras_staa import data, training
from tests.data.support import joined
from tests.real import FOLDER

pytestmark = pytest.mark.heavy
# Pillow clips grey values of 16 bits, which are scaled here.
CLIPPED = "grey_16_bit.png"


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    packed = FOLDER / "imagenet_photos.tar.xz"
    if not packed.is_file():
        pytest.skip(f"no photographs: {packed} is absent; set KERAS_STAA_TEST_DATA")
    out = tmp_path_factory.mktemp("photos")
    with tarfile.open(packed) as archive:
        archive.extractall(out, filter="data")
    return out / "imagenet_photos"


@pytest.fixture(scope="module")
def known(photos):
    return json.loads((photos / "expected.json").read_text("utf-8"))


def test_photographs_of_every_size_are_read(photos, known):
    dataset = data.images(photos / "photos", size=64, batch_size=50, shuffle=False)
    assert len(dataset.classes) == 150 and len(dataset) == 3
    means = joined(dataset)[0].mean((1, 2)) * 255
    paths = sorted((photos / "photos").glob("*/*"))
    expected = [known[path.relative_to(photos).as_posix()]["mean_rgb"] for path in paths]
    # Thinning out without a filter would be off by more.
    np.testing.assert_allclose(means, expected, atol=3)


def test_an_image_is_resized_without_distortion(photos, known):
    Image = pytest.importorskip("PIL.Image")
    dataset = data.images(
        photos / "photos", size=(48, 64), batch_size=150, shuffle=False, crop_to_aspect_ratio=True
    )
    found = joined(dataset)[0]
    for index, path in enumerate(sorted((photos / "photos").glob("*/*"))):
        entry = known[path.relative_to(photos).as_posix()]
        if entry["mode"] != "RGB" or entry["size"] != entry["upright"]:
            continue
        width, height = entry["size"]
        # The largest part of 4 to 3, in whole pixels.
        part = min(width, height * 64 // 48), min(height, width * 48 // 64)
        left, top = (width - part[0]) // 2, (height - part[1]) // 2
        picture = Image.open(path).crop((left, top, left + part[0], top + part[1]))
        expected = np.asarray(picture.resize((64, 48), Image.Resampling.BILINEAR)) / 255
        np.testing.assert_allclose(found[index], expected, atol=1e-6)


def test_damaged_ones_are_reported_and_left_out(photos, known, tmp_path):
    shutil.copytree(photos / "odd", tmp_path / "odd" / "object")
    entries = {pathlib.Path(name).name: e for name, e in known.items() if name.startswith("odd/")}
    # Hidden files are no pictures of a folder.
    shown = {name: e for name, e in entries.items() if not name.startswith(".")}
    damaged = sorted(name for name, entry in shown.items() if "error" in entry)
    with pytest.raises(ValueError, match="`source` must hold pictures that can be read"):
        data.images(tmp_path / "odd", size=32)
    with pytest.warns(UserWarning, match=f"{len(damaged)} of {len(shown)} pictures are left") as w:
        dataset = data.images(tmp_path / "odd", size=32, shuffle=False, skip_damaged=True)
    text = str(w[0].message)
    assert damaged and all(f"{name} is unreadable" in text for name in damaged)
    assert not any(name in text for name in shown.keys() - set(damaged))
    means = joined(dataset)[0].mean((1, 2)) * 255
    assert len(means) == len(shown) - len(damaged)
    expected = {name: e["mean_rgb"] for name, e in shown.items() if "error" not in e}
    assert CLIPPED in expected
    for mean in expected.values():
        if mean != expected[CLIPPED]:
            assert np.abs(means - mean).max(1).min() < 4, mean


def test_nothing_is_said_where_nothing_is_damaged(photos):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = data.images(
            photos / "folder", "validation", size=64, skip_damaged=True, batch_size=50
        )
    assert len(dataset) == 1 and len(dataset.classes) == 10


def test_the_recipe_of_imagenet_trains_on_them(photos, tmp_path):
    changes = [
        f"data.source={photos / 'folder'}",
        "data.test=validation",
        "data.size=40",
        "data.test_size=32",
        'data.augment=[{class_name="RandomResizedCrop", height=32, width=32}]',
        "data.workers=2",
        "network.factory=STAAVGG",
        "network.width=4",
        "network.steps=2",
        "training.epochs=1",
        "training.batch_size=50",
        "training.policy=float32",
        "schedule.warmup_epochs=0",
    ]
    recipe = training.load_recipe("imagenet", changes)
    result = training.train(recipe, tmp_path / "run", verbose=0)
    assert result["epochs"] == 1 and 0 <= result["accuracy"] <= 1


def test_through_the_schema_of_tensorflow_datasets(photos, known, tmp_path):
    pytest.importorskip("tensorflow")
    tfds = pytest.importorskip("tensorflow_datasets")
    wnids = sorted(path.name for path in (photos / "photos").iterdir())
    wanted = sorted((photos / "photos").glob("*/*"))[:40]

    class Imagenet2012(tfds.core.GeneratorBasedBuilder):
        """The features of `imagenet2012`, with some of its images."""

        VERSION = tfds.core.Version("5.1.0")

        def _info(self):
            features = {
                "image": tfds.features.Image(encoding_format="jpeg"),
                "label": tfds.features.ClassLabel(names=wnids),
                "file_name": tfds.features.Text(),
            }
            return tfds.core.DatasetInfo(
                builder=self,
                features=tfds.features.FeaturesDict(features),
                supervised_keys=("image", "label"),
                disable_shuffling=True,
            )

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            for number, path in enumerate(wanted):
                example = {"image": path, "label": path.parent.name, "file_name": path.name}
                yield number, example

    tfds.disable_progress_bar()
    Imagenet2012(data_dir=tmp_path).download_and_prepare()
    dataset = data.images(
        "imagenet2012",
        data_dir=tmp_path,
        size=(48, 64),
        crop_to_aspect_ratio=True,
        shuffle=False,
        batch_size=40,
        download=False,
    )
    found, labels = (keras.ops.convert_to_numpy(part) for part in next(iter(dataset)))
    folder = data.images(
        photos / "photos", size=(48, 64), crop_to_aspect_ratio=True, shuffle=False, batch_size=40
    )[0]
    assert folder.__class__ is tuple and len(folder[0]) == 40
    np.testing.assert_array_equal(labels, folder[1])
    upright = [known[p.relative_to(photos).as_posix()] for p in wanted]
    for one, other, entry in zip(found, folder[0], upright, strict=True):
        # TensorFlow knows nothing of EXIF, and its decoder and filter are others than Pillow's.
        if entry["size"] == entry["upright"] and entry["mode"] == "RGB":
            assert np.abs(one - other).mean() < 0.02
