"""Networks as graphs of NIR: run by a few lines of NumPy they give the spikes of the network."""

import keras
import numpy as np
import pytest

import keras_staa
from keras_staa import layers
from keras_staa.exchange import from_nir, to_nir
from tests.exchange import nir_reference
from tests.exchange.nir_reference import DT
from tests.zoo.support import Tiny, randomise, tiny

nir = pytest.importorskip("nir")

NEURON = {"threshold": 0.3, "decay": 0.4, "gain": 0.7}


def network(create=keras_staa.STAAResNet20, **arguments):
    more = {
        "input_shape": (16, 16, 3),
        "classes": 5,
        "width": 4,
        "steps": 3,
        "attention": False,
        "neuron": NEURON,
        "classifier_activation": None,
    }
    return randomise(create(**{**more, **arguments}), 1)


def samples(model, count=4):
    return np.random.default_rng(2).random((count, *model.input_shape[1:]), "float32")


def check(model, graph, x):
    """The graph gives the logits of the model, and every spike of each layer of neurons."""
    neurons = [n for n in model.layers if isinstance(n, layers.neuron.Neuron)]
    probe = keras.Model(model.inputs, [*(n.output for n in neurons), model.output])
    *expected, logits = (keras.ops.convert_to_numpy(y) for y in probe(x))
    outputs, spikes = nir_reference.run(graph, np.moveaxis(x, -1, 1), expected[0].shape[1])
    assert 0.02 < np.mean([s.mean() for s in expected]) < 0.98
    for layer, s in zip(neurons, expected, strict=True):
        np.testing.assert_array_equal(np.moveaxis(spikes[layer.name], 2, -1), s, layer.name)
    np.testing.assert_allclose(outputs.mean(1), logits, atol=1e-5)


@pytest.mark.parametrize("average", ["AvgPool2d", "Conv2d"])
def test_a_residual_network(average):
    model = network(normalization=[(0.4, 0.2), (0.5, 0.3), (0.6, 0.4)])
    check(model, to_nir(model, average=average), samples(model))


NETWORKS = {
    "STAAVGG": (keras_staa.STAAVGG, {"input_shape": (32, 32, 3)}),
    "STAAResNet18": (keras_staa.STAAResNet18, {}),
    "gain of 1": (Tiny, {"neuron": {"threshold": 0.3}}),
    "no memory": (Tiny, {"neuron": {"threshold": 0.3, "decay": 0.0}}),
    "IF": (Tiny, {"neuron": layers.IF(threshold=0.4)}),
    "PLIF": (Tiny, {"neuron": layers.PLIF(3.0, threshold=0.2)}),
    "learned": (Tiny, {"neuron": {"learn": True, "threshold": 0.3}}),
    "padding as PyTorch": (keras_staa.STAAResNet18, {"padding": "symmetric"}),
    "odd size": (Tiny, {"input_shape": (15, 13, 3)}),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks(name):
    create, arguments = NETWORKS[name]
    model = network(create, **arguments)
    graph = to_nir(model)
    assert {type(node).__name__ for node in graph.nodes.values()} <= {
        "Input",
        "Conv2d",
        "AvgPool2d",
        "Flatten",
        "Affine",
        "LIF",
        "IF",
        "Output",
    }
    for node in graph.nodes.values():
        if isinstance(node, nir.LIF | nir.IF):
            np.testing.assert_array_equal(node.r, 1.0)
    check(model, graph, samples(model))


@pytest.mark.parametrize("name", NETWORKS)
def test_read_again(name, tmp_path):
    create, arguments = NETWORKS[name]
    model = network(create, **arguments)
    to_nir(model, tmp_path / "a.nir")
    again = from_nir(tmp_path / "a.nir", steps=3)
    x = samples(model)
    expected, found = (keras.ops.convert_to_numpy(m(x)) for m in (model, again))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert again.input_shape == model.input_shape


def test_equations_of_the_neuron():
    model = network(Tiny)
    node = to_nir(model, time_step=1e-3).nodes["stage_neuron"]
    np.testing.assert_allclose(node.tau, 1e-3 / 0.6, rtol=1e-6)
    # NIR's neurons fire above it.
    assert np.all(np.float32(0.3) > node.v_threshold) and np.allclose(node.v_threshold, 0.3)


def hand_made(last=None):
    """Three inputs, four neurons and two outputs."""
    rng = np.random.default_rng(0)
    weight = rng.normal(0, 1, (4, 3))
    full = np.ones(4)
    lif = nir.LIF(tau=DT * np.array([2, 3, 4, 5.0]), r=2 * full, v_leak=0 * full, v_threshold=full)
    nodes = {
        "input": nir.Input(np.array([3])),
        "linear": nir.Linear(weight),
        "lif": lif,
        "affine": last or nir.Affine(rng.normal(0, 1, (2, 4)), rng.normal(0, 1, 2)),
        "output": nir.Output(np.array([2])),
    }
    names = list(nodes)
    return nodes, list(zip(names[:-1], names[1:], strict=True))


def test_a_graph_of_others():
    graph = nir.NIRGraph(*hand_made())
    x = np.random.default_rng(1).normal(0, 2, (6, 3)).astype("float32")
    expected, spikes = nir_reference.run(graph, x, 8)
    assert 0.1 < spikes["lif"].mean() < 0.9
    found = from_nir(graph, 8, mean=False)(x)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(found), expected, atol=1e-5)
    frames = from_nir(graph, 8, frames=True)(np.repeat(x[:, None], 8, axis=1))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(frames), expected.mean(1), atol=1e-5)


def test_thresholds_that_differ():
    nodes, edges = hand_made()
    nodes["lif"].v_threshold = np.array([0.5, 1.0, 1.5, 2.0])
    graph = nir.NIRGraph(nodes, edges)
    x = np.random.default_rng(1).normal(0, 2, (6, 3)).astype("float32")
    expected, _ = nir_reference.run(graph, x, 8)
    found = keras.ops.convert_to_numpy(from_nir(graph, 8, mean=False)(x))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_time_constant_of_one_step_in_32_bits():
    nodes, edges = hand_made()
    nodes["lif"].tau = np.full(4, 1e-4, "float32")
    assert float(nodes["lif"].tau[0]) < 1e-4
    layer = from_nir(nir.NIRGraph(nodes, edges), 4).get_layer("lif")
    assert (layer.decay, layer.gain) == (0.0, 2.0)


def test_images_of_others():
    """Sums of places, a scale, groups, a flattened image, and an axis for the batch counted."""
    rng = np.random.default_rng(0)
    full = np.ones((2, 4, 4))
    nodes = {
        "input": nir.Input(np.array([2, 8, 8])),
        "scale": nir.Scale(np.broadcast_to(np.array([0.5, 2.0])[:, None, None], (2, 8, 8))),
        "conv": nir.Conv2d((8, 8), rng.normal(0, 1, (2, 2, 3, 3)), 2, 1, 1, 1, rng.normal(0, 1, 2)),
        "neurons": nir.IF(r=full, v_threshold=full),
        "sum": nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        "flatten": nir.Flatten(np.array([2, 2, 2]), 1, -1),
        "linear": nir.Linear(rng.normal(0, 1, (3, 8))),
        "output": nir.Output(np.array([3])),
    }
    names = list(nodes)
    edges = list(zip(names[:-1], names[1:], strict=True))
    graph = nir.NIRGraph(nodes, edges, type_check=False)
    x = rng.random((3, 2, 8, 8)).astype("float32")
    expected, _ = nir_reference.run(graph, x, 4)
    found = from_nir(graph, 4, mean=False)(np.moveaxis(x, 1, -1))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(found), expected, atol=1e-5)


def test_what_was_read_can_be_trained():
    model = from_nir(nir.NIRGraph(*hand_made()), 4)
    model.compile("sgd", "mse")
    before = [v.numpy() if hasattr(v, "numpy") else np.array(v) for v in model.get_weights()]
    model.fit(np.ones((8, 3), "float32"), np.ones((8, 2), "float32"), verbose=0)
    changed = [np.any(a != b) for a, b in zip(before, model.get_weights(), strict=True)]
    assert any(changed)


@pytest.mark.parametrize(
    "create, arguments, message",
    [
        (Tiny, {"attention": True}, "no node for layer 'stage_neuron', of the class STAALIF"),
        (Tiny, {"neuron": {"reset": "soft"}}, "'stem_neuron' must have reset=\"hard\""),
        (Tiny, {"neuron": layers.ALIF()}, "no node for layer 'stem_neuron', of the class ALIF"),
        (Tiny, {"neuron": "relu"}, "no node for layer 'stem_neuron', of the class Activation"),
        (keras_staa.STAACompact, {"input_shape": (32, 32, 3)}, "of the class MaxPooling2D"),
    ],
)
def test_what_nir_cannot_hold(create, arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        to_nir(network(create, **arguments), tmp_path / "a.nir")
    assert not list(tmp_path.iterdir())


def test_bad_arguments_of_writing():
    with pytest.raises(ValueError, match="`average` must be one of .*average='mean'"):
        to_nir(tiny(), average="mean")
    with pytest.raises(ValueError, match="`time_step` must be a positive number"):
        to_nir(tiny(), time_step=0)
    with pytest.raises(ValueError, match="`model` must have one input and one output"):
        to_nir("vgg")


def with_node(name, node):
    nodes, edges = hand_made()
    nodes[name] = node
    return nir.NIRGraph(nodes, edges, type_check=False)


def with_values(key, values):
    nodes, edges = hand_made()
    setattr(nodes["lif"], key, np.array(values))
    return nir.NIRGraph(nodes, edges)


def test_bad_graphs():
    full = np.ones(4)
    other = nir.Threshold(full)
    for graph, message in (
        (with_node("lif", other), "Received: node 'lif', of the kind Threshold"),
        (with_values("v_leak", [0.1] * 4), "`v_leak` of node 'lif' must be 0"),
        (with_values("v_reset", [0.1] * 4), "`v_reset` of node 'lif' must be 0"),
        (with_values("tau", [DT / 2] * 4), "`tau` of node 'lif' must be at least `time_step`"),
        (with_node("second", nir.Output(np.array([2]))), "must have one Output"),
    ):
        with pytest.raises(ValueError, match=message):
            from_nir(graph, 4)
    nodes, edges = hand_made()
    loop = nir.NIRGraph(nodes, [*edges, ("affine", "linear")], type_check=False)
    with pytest.raises(ValueError, match="must have no cycle. Received: one in .*'linear'"):
        from_nir(loop, 4)
    with pytest.raises(ValueError, match="`steps` must be a positive integer"):
        from_nir(nir.NIRGraph(*hand_made()), 0)


def test_neurons_of_a_channel_must_be_alike():
    full = np.ones((2, 4, 4))
    tau = full * DT * np.arange(2, 6)
    nodes = {
        "input": nir.Input(np.array([2, 4, 4])),
        "lif": nir.LIF(tau=tau, r=full, v_leak=0 * full, v_threshold=full),
        "output": nir.Output(np.array([2, 4, 4])),
    }
    graph = nir.NIRGraph(nodes, [("input", "lif"), ("lif", "output")])
    with pytest.raises(ValueError, match="`tau` of node 'lif' must be the same for all places"):
        from_nir(graph, 4)
