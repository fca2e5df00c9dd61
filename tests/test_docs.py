"""The code that the pages of docs/ show runs, one block after the other."""

import collections
import csv
import importlib
import inspect
import re

import keras
import numpy as np
import pytest

import keras_staa
from tests.data.support import folder_of
from tests.layers.support import assert_near, layer_gradients, randomise
from tests.real import ROOT

BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def run(page, names):
    """Run the code of a page, one block after the other."""
    blocks = BLOCK.findall((ROOT / page).read_text("utf-8"))
    assert blocks, f"{page} shows no code"
    for block in blocks:
        exec(compile(block, page, "exec"), names)
    return names


@pytest.fixture(scope="module")
def neurons():
    yield run("docs/neurons.md", {})
    keras.saving.get_custom_objects().pop("my_package>Resting")


@pytest.mark.heavy
def test_the_readme(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    folder_of(tmp_path / "recordings")
    monkeypatch.chdir(tmp_path)
    given = {
        "photographs": rng.integers(0, 256, (2, 32, 32, 3), dtype="uint8"),
        "labels": np.array([0, 4]),
        "names": list("abcde"),
    }
    names = run("README.md", given)
    assert names["probabilities"].shape == (2, 10)
    assert names["model"].input_shape == (None, 10, 34, 34, 2)
    assert names["model"].output_shape == (None, 3)
    assert keras_staa.zoo.load("mine").class_names == list("abcde")


def test_export(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    suffix, name = {
        "tensorflow": ("", "tf_saved_model"),
        "jax": (".stablehlo", "stablehlo"),
        "torch": (".pt2", "torch"),
    }[keras.backend.backend()]
    found = run("docs/export.md", {"suffix": suffix, "format": name})["found"]
    assert (found.same, found.samples) == (100, 100)


@pytest.mark.heavy
def test_streaming(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = run("docs/streaming.md", {})
    assert len(names["energy"]) == len(names["by_step"].accuracy) == 4
    assert names["state"].clock.tolist() == [1]
    assert (tmp_path / "steps.png").is_file()


def test_fine_tuning():
    names = run("docs/fine_tuning.md", {})
    assert isinstance(names["model"].get_layer("stage2_1_neuron"), keras_staa.layers.PLIF)
    assert any("lora" in v.name for v in names["model"].trainable_variables)


@pytest.mark.heavy
def test_keras_cv():
    pytest.importorskip("keras_cv")
    names = run("docs/keras_cv.md", {})
    assert names["probabilities"].shape == (2, 5)
    assert sorted(names["detector"].output) == ["box", "classification"]


@pytest.mark.heavy
def test_keras_tools(tmp_path, monkeypatch):
    pytest.importorskip("pydot")
    pytest.importorskip("keras_tuner")
    monkeypatch.chdir(tmp_path)
    names = run("docs/keras_tools.md", {})
    # A node for each layer, and one for the settings of the picture.
    assert len(names["dot"].get_nodes()) == len(names["network"].layers) + 1
    assert list((tmp_path / "logs" / "train").iterdir())
    assert 0.3 <= names["tuner"].get_best_hyperparameters()[0]["threshold"] <= 1.0
    assert isinstance(names["best"], keras_staa.models.Network)
    quantized = [v for v in names["network"].variables if v.dtype == "int8"]
    assert [v.path.split("/")[0] for v in quantized] == ["predictions"]
    np.testing.assert_allclose(names["probabilities"].sum(1), 1.0, rtol=1e-5)


def test_exchange(tmp_path, monkeypatch):
    pytest.importorskip("nir")
    monkeypatch.chdir(tmp_path)
    torch = pytest.importorskip("torch")
    torch_networks = importlib.import_module("tests.exchange.torch_networks")
    network = torch_networks.ResNet((2, 2, 2, 2), 4, 5, torch.nn.ReLU, large=False)
    names = run("docs/exchange.md", {"state_dict": network.state_dict()})
    assert names["found"]["conv1.weight"].shape == (4, 3, 3, 3)
    assert names["again"].output_shape == names["model"].output_shape


def test_networks(monkeypatch):
    registry = keras_staa.models.registry
    monkeypatch.setattr(registry, "FACTORIES", dict(registry.FACTORIES))
    names = run("docs/networks.md", {})
    assert (names["copy"].factory, names["copy"].arguments["classes"]) == ("STAAVGG", 5)
    assert list(names["model"].stage_outputs) == ["stem", "stage0", "stage1", "stage2"]
    assert names["model"].output_shape == (None, 5)


def test_the_table_of_networks():
    """Each row says what the factory says."""
    text = (ROOT / "docs" / "networks.md").read_text("utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| `STAA")]
    found = {}
    for row in rows:
        name, shape, width, _ = (cell.strip(" `") for cell in row.strip("|").split("|"))
        found[name] = (shape, int(width))
    expected = {}
    for name, factory in keras_staa.models.FACTORIES.items():
        width = inspect.signature(factory).parameters["width"].default
        expected[name] = (re.search(r"Default: (\(.*?\))", factory.__doc__).group(1), width)
    assert found == expected


def test_the_table_of_tpus_is_that_of_the_measurements():
    text = (ROOT / "docs" / "scale.md").read_text("utf-8")
    with open(ROOT / "docs" / "measurements" / "tpu.csv", newline="") as file:
        rows = list(csv.reader(file))
    for row in rows:
        assert f"| {' | '.join(row)} |" in text
    found = [line for line in text.splitlines() if re.match(r"\| (cifar10|imagenet) \|", line)]
    assert len(found) == len(rows) - 1


def test_the_tables_of_accelerators_are_those_of_the_measurements():
    text = (ROOT / "docs" / "speed.md").read_text("utf-8")
    with open(ROOT / "docs" / "measurements" / "accelerator.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > 40
    points = collections.defaultdict(dict)
    for row in rows:
        if (row["T"], row["width"]) == ("4", "128"):
            cells = (row[name] for name in ("bytes", "over ReLU", "kernels", "temporary, GB"))
            assert f" | {' | '.join(cells)} | " in text, row
        else:
            chip = row["chip"].partition(":")[0]
            point = row["what"], chip, row["width"], row["T"], row["mode"]
            points[point][row["variant"]] = row
    for point, found in points.items():
        lif, staa = found["LIF"], found["STAA" if "STAA" in found else "STAALIF"]
        cells = [one[name] for one in (lif, staa) for name in ("over ReLU", "kernels")]
        assert f"| {' | '.join([*point, *cells, found['ReLU']['kernels']])} |" in text, point


@pytest.mark.heavy
def test_insight(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    images = np.random.default_rng(0).random((4, 32, 32, 3)).astype("float32")
    names = run("docs/insight.md", {"images": images, "labels": np.arange(4)})
    assert names["found"].samples == 4
    assert len(names["history"].history["silent"]) == 1
    assert names["with_memory"].energy > names["found"].energy
    drawn = {path.stem for path in tmp_path.iterdir()}
    assert drawn >= {"attention", "grad_cam", "step_gates", "potentials", "energy", "curves"}


@pytest.mark.heavy
def test_presets(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = run("docs/presets.md", {})
    assert names["features"].output_shape == (None, 288)
    assert names["model"].class_names == ["cat", "other"]


def test_the_stream_gives_the_spikes_of_a_call(neurons):
    whole = neurons["neuron"](neurons["currents"])
    last = keras.ops.convert_to_numpy(whole)[:, -1]
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(neurons["spikes"]), last)


def test_the_network_has_the_neuron_behind_every_aggregator(neurons):
    found = [x for x in neurons["model"].layers if isinstance(x, neurons["Resting"])]
    assert len(found) == 10


def test_the_neuron_learns_its_rest(neurons):
    """Two steps of one value, by hand: d/drest of `rest + 0.5 * (state - rest) + drive`."""
    layer = neurons["Resting"](surrogate=lambda u: 1.0 + 0.0 * u, threshold=2.0)
    layer.build((None, 2, 1))
    x, g = np.full((1, 2, 1), 0.5, "float32"), np.array([[[0.0], [1.0]]], "float32")
    spikes, dx, (drest,) = layer_gradients(layer, x, g)
    assert not spikes.any()
    # v0 = 0.5 r + 0.5; h0 = v0 - 2 s0; v1 = 0.5 r + 0.5 h0 + 0.5, and ds0 = dv0.
    np.testing.assert_allclose(dx[0, :, 0], [0.5 * (1 - 2), 1.0], rtol=1e-6)
    np.testing.assert_allclose(drest, [0.5 + 0.5 * (1 - 2) * 0.5], rtol=1e-6)


def test_the_layer_of_the_page_is_aggregator_and_neuron(neurons):
    x = np.random.default_rng(0).normal(0.5, 1, (2, 4, 3, 3, 4)).astype("float32")
    layer = neurons["STAANeuron"](neurons["Resting"](surrogate="sigmoid"))
    layer.build((None, *x.shape[1:]))
    randomise(layer)
    _, dx, _ = layer_gradients(layer, x, np.ones_like(x))
    again = type(layer).from_config(layer.get_config())
    again.build((None, *x.shape[1:]))
    again.set_weights(layer.get_weights())
    assert_near(layer_gradients(again, x, np.ones_like(x))[1], dx, 1e-6)


def test_a_slow_neuron(neurons):
    x = np.full((1, 3, 1), 4.0, "float32")
    spikes = keras.ops.convert_to_numpy(neurons["Slow"]()(x))
    # V = 0.4, 0.76, 1.084.
    np.testing.assert_array_equal(spikes[0, :, 0], [0, 0, 1])
