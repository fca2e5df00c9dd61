"""Prepared data sets of TensorFlow Datasets, and what reads them."""

import pytest

from keras_staa import data


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory):
    from tests.data.image import builders

    tfds = builders.tfds
    path = tmp_path_factory.mktemp("tfds")
    tfds.disable_progress_bar()
    config = tfds.download.DownloadConfig(num_shards=2)
    for builder in builders.ALL:
        builder(data_dir=path).download_and_prepare(
            download_config=config if builder is builders.Shards else None
        )
    return path


@pytest.fixture
def read(data_dir):
    def read(source="tiny", split="train", **arguments):
        return data.images(source, split, data_dir=data_dir, download=False, **arguments)

    return read
