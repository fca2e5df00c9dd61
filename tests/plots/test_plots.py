"""Pictures: what is drawn is what was given."""

import types

import numpy as np
import pytest

from keras_staa import insight, plots
from keras_staa.insight.energy import Costs

pytest.importorskip("matplotlib")
pytestmark = pytest.mark.once


def layer(name, rates, energy=1.0):
    return insight.LayerReport(
        name,
        "neurons",
        steps=len(rates),
        neurons=4,
        rates=rates,
        firing_rate=0.1,
        silent=0.0,
        saturated=0.0,
        energy=energy,
        relu_energy=2 * energy,
    )


@pytest.fixture
def report():
    rows = layer("first", (0.1, 0.2, 0.3)), layer("second", (0.4, 0.0, 0.5), 3.0)
    return insight.Report("net", 5, 3, rows, Costs())


@pytest.fixture
def maps():
    rng = np.random.default_rng(0)
    one = insight.LayerAttention(rng.random((2, 3, 4, 4)), step_gate=rng.random((2, 3)))
    other = insight.LayerAttention(step_gate=rng.random((2, 3)))
    return insight.AttentionMaps({"a": one, "b": other}, None, rng.random((2, 3, 2, 2)))


@pytest.fixture
def trace():
    spikes = np.zeros((2, 5, 3))
    spikes[1, [1, 4], 2] = 1
    potential = np.random.default_rng(0).random((2, 5, 3))
    return insight.Trace("lif", [(0, 0), (0, 1), (1, 0)], potential, potential, spikes, 0.9)


def test_raster(trace):
    panel = plots.raster(trace, sample=1).axes[0]
    rows = [list(line.get_positions()) for line in panel.collections]
    assert rows == [[], [], [1, 4]]
    assert panel.get_xlabel() == "time step" and panel.get_ylabel() == "neuron"


def test_potentials(trace):
    panel = plots.potentials(trace, sample=1).axes[0]
    curves, dots = panel.lines[0:6:2], panel.lines[1:6:2]
    for i, line in enumerate(curves):
        np.testing.assert_array_equal(line.get_ydata(), trace.potential[1, :, i])
    assert [list(one.get_xdata()) for one in dots] == [[], [], [1, 4]]
    assert panel.lines[6].get_ydata()[0] == 0.9


def test_firing_rates(report):
    panel = plots.firing_rates(report).axes[0]
    np.testing.assert_allclose(panel.images[0].get_array(), [[10, 20, 30], [40, 0, 50]], rtol=1e-6)
    assert [t.get_text() for t in panel.get_yticklabels()] == ["first", "second"]
    assert [t.get_text() for t in panel.get_xticklabels()] == ["1", "2", "3"]


@pytest.mark.parametrize("name", ["a", None])
def test_attention(name, maps):
    image = np.random.default_rng(0).random((8, 6, 3)) * 255
    figure = plots.attention(image, maps, name, sample=1)
    values = maps.grad_cam if name is None else maps.layers["a"].attention
    for step in range(3):
        grey, shown = figure.axes[step].images
        np.testing.assert_array_equal(shown.get_array(), values[1, step])
        assert grey.get_array().min() == 0 and grey.get_array().max() == 1
        # Both lie over the whole image.
        assert grey.get_extent() == shown.get_extent() == [0, 6, 8, 0]


def test_step_gates(maps):
    panel = plots.step_gates(maps).axes[0]
    expected = [one.step_gate.mean(axis=0) for one in maps.layers.values()]
    np.testing.assert_array_equal(panel.images[0].get_array(), expected)


def test_energy(report):
    panel = plots.energy({"one": report, "two": report}).axes[0]
    widths = [bar.get_width() for bar in panel.patches]
    assert widths == [4, 4, 8, 8]
    assert panel.get_xlabel().endswith("mJ")
    assert {text.get_text().strip() for text in panel.texts} == {"0.50 of ReLU"}


def test_curves():
    given = {"epoch": [0, 1], "loss": [2.0, 1.0], "val_loss": [None, 3.0], "accuracy": [0, 1]}
    for history in (given, types.SimpleNamespace(history=given)):
        figure = plots.curves(history, marks={"accuracy": (0.5, "test")})
        accuracy, loss = figure.axes
        assert (accuracy.get_ylabel(), loss.get_ylabel()) == ("accuracy", "loss")
        assert [list(line.get_ydata()) for line in loss.lines] == [[2, 1], [3]]
        assert list(loss.lines[1].get_xdata()) == [2]
        assert accuracy.lines[-1].get_ydata()[0] == 0.5


def test_columns_of_a_file(tmp_path):
    path = tmp_path / "history.csv"
    path.write_text("epoch,loss,val_loss\n0,2.0,NA\n1,1.5,1.75\n")
    assert plots.columns_of(path) == {"loss": [2.0, 1.5], "val_loss": [None, 1.75]}


def test_confusion():
    counts = np.array([[3, 1], [0, 0]])
    panel = plots.confusion(counts, ["cat", "dog"]).axes[0]
    np.testing.assert_array_equal(panel.images[0].get_array(), [[0.75, 0.25], [0, 0]])
    assert {text.get_text() for text in panel.texts} == {"3", "1"}


def test_accuracy():
    panel = plots.accuracy([[0.5, 0.75], [0.25, 0.5]], [[1, 2], [1, 4]], names=["a", "b"]).axes[0]
    assert [list(line.get_ydata()) for line in panel.lines] == [[50, 75], [25, 50]]
    # In grey, lines differ by their dashes.
    assert len({line.get_linestyle() for line in panel.lines}) == 2
    single = plots.accuracy([0.5, 0.75], [1.5, 2.5], label="energy, mJ").axes[0]
    assert single.get_xlabel() == "energy, mJ"


@pytest.mark.parametrize(
    "suffix, start", [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")]
)
def test_files(suffix, start, report, tmp_path):
    path = tmp_path / f"energy.{suffix}"
    assert plots.energy(report, path=path).axes
    assert path.read_bytes().startswith(start)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_axes_of_your_own(report, maps):
    from matplotlib.figure import Figure

    figure = Figure()
    panels = figure.subplots(1, 3)
    assert plots.energy(report, ax=panels[0]) is figure
    assert plots.attention(np.zeros((4, 4, 3)), maps, ax=panels) is figure
    with pytest.raises(ValueError, match="`ax` must have 3 axes. Received: 2"):
        plots.attention(np.zeros((4, 4, 3)), maps, ax=panels[:2])


def test_errors(report, maps, tmp_path):
    with pytest.raises(ValueError, match="`path` must end in"):
        plots.energy(report, path=tmp_path / "energy.txt")
    with pytest.raises(ValueError, match="`layer` must be the name .* such as 'a'"):
        plots.attention(np.zeros((4, 4, 3)), maps, "b")
    with pytest.raises(ValueError, match="no Grad-CAM"):
        plots.attention(np.zeros((4, 4, 3)), insight.AttentionMaps({}, None))
    with pytest.raises(ValueError, match="step gates"):
        plots.step_gates(insight.AttentionMaps({}, None))
    with pytest.raises(ValueError, match=r"\(3, 3\)"):
        plots.confusion(np.zeros((2, 2)), ["a", "b", "c"])
    with pytest.raises(ValueError, match="a loss or a metric"):
        plots.curves({"epoch": [1]})
