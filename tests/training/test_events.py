"""A run by a recipe on event recordings, and what its preset says of them."""

import numpy as np
import pytest

from keras_staa import data, training, zoo
from tests.data.support import folder_of

pytestmark = pytest.mark.heavy


def test_the_preset_describes_the_recordings(tmp_path):
    folder = folder_of(tmp_path / "digits", parts=("train", "test"))
    changes = [f"data.source={folder}", "data.steps=2", "network.width=4", "data.size=17"]
    changes += ["training.epochs=1", "training.batch_size=4", "schedule.warmup_epochs=0"]
    recipe = training.load_recipe("nmnist", changes)
    cache = tmp_path / "cache"
    result = training.train(recipe, tmp_path / "run", cache_dir=cache, verbose=0)
    assert result["preset"] == "compact_w4_t2.digits"
    known = zoo.describe(tmp_path / "run" / result["preset"])["training"]
    assert known["normalize"] is False
    for name, split in (("data", "train"), ("test_data", "test")):
        samples = data.events(folder, 2, split=split, size=17, cache_dir=cache, verbose=False)
        assert known[name]["split_fingerprint"] == samples.fingerprint
        assert known[name]["source"] == "digits"
    # 12 recordings in batches of 4: all of them were used again for the statistics.
    model = zoo.load(tmp_path / "run" / result["preset"])
    assert np.isfinite(model.predict(samples[0][0], verbose=0)).all()
