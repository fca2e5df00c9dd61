"""One time step at a time gives what the whole sequence gives."""

import keras
import numpy as np
import pytest

import keras_staa
from keras_staa import layers
from keras_staa.streaming import Stepper
from tests.streaming.support import FRAMES, array, network, run, samples

NETWORKS = {
    "images": {},
    "frames": {"input_shape": FRAMES},
    "neurons alone": {"attention": False},
    "alif": {"neuron": layers.ALIF(threshold=0.3)},
    "plif": {"neuron": layers.PLIF(threshold=0.3), "attention": False},
    "soft reset": {"neuron": {"threshold": 0.3, "reset": "soft"}},
    "full encoding": {"attention": {"position": "full"}},
    "sinusoidal encoding": {"attention": {"position": "sinusoidal"}},
    "no encoding": {"attention": {"position": None}},
    "no context": {"attention": {"context": False}},
    "context alone": {"attention": {"position": None, "step_gate": False}},
    "more steps than are unrolled": {"steps": 9},
    "logits": {"classifier_activation": None},
    "logits of each step": {"step_logits": True},
    "features": {"include_top": False, "pooling": None},
}
FACTORIES = {
    "vgg": {"create": keras_staa.STAAVGG, "input_shape": (32, 32, 3)},
    "compact": {"create": keras_staa.STAACompact, "input_shape": (4, 32, 32, 2)},
    "resnet18": {"create": keras_staa.STAAResNet18},
    "resnet20": {"create": keras_staa.STAAResNet20},
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_outputs_are_those_of_the_whole_sequence(name):
    check_outputs(network(**NETWORKS[name]))


@pytest.mark.once
@pytest.mark.parametrize("name", FACTORIES)
def test_those_of_each_factory(name):
    check_outputs(network(**FACTORIES[name]))


def check_outputs(model):
    x = samples(model)
    found, state = run(Stepper(model), x)
    whole = model.predict(x, verbose=0)
    if len(whole.shape) == 2:
        assert np.ptp(whole, axis=0).max() > 1e-3, "the network gives all samples the same answer"
        np.testing.assert_allclose(found[-1], whole, atol=1e-5)
    else:
        np.testing.assert_allclose(np.stack(found, axis=1), whole, atol=1e-5)
    assert state.clock.tolist() == [len(found)] * len(x)


def test_each_step_gives_the_mean_over_the_steps_so_far():
    model = network(step_logits=True, input_shape=FRAMES)
    means = network(classifier_activation=None, input_shape=FRAMES)
    x = samples(model)
    logits = model.predict(x, verbose=0)
    found, _ = run(Stepper(means), x)
    for t in range(FRAMES[0]):
        np.testing.assert_allclose(found[t], logits[:, : t + 1].mean(axis=1), atol=1e-5)


def test_streams_have_clocks_of_their_own():
    model = network(input_shape=FRAMES)
    x = samples(model, 3)
    stepper = Stepper(model)
    whole = model.predict(x, verbose=0)
    state, found = stepper.initial_state(3), {}
    # Stream 1 begins two frames later, and stream 2 waits after its first frame.
    order = [[0, 2], [0], [1, 0], [2, 1], [0, 1, 2], [2, 0, 1], [1, 2]]
    for streams in order:
        frames = np.stack([x[s, state.clock[s]] for s in streams])
        outputs, state = stepper.step(frames, state, streams=streams)
        found |= dict(zip(streams, array(outputs), strict=True))
    assert state.clock.tolist() == [5, 5, 5]
    np.testing.assert_allclose(np.stack([found[s] for s in range(3)]), whole, atol=1e-5)


def test_a_stream_that_is_reset_begins_anew():
    model = network(input_shape=FRAMES)
    x, y = samples(model, 2), samples(model, 2, seed=2)
    stepper = Stepper(model)
    state = stepper.initial_state(2)
    for t in range(2):
        _, state = stepper.step(x[:, t], state)
    before = state
    state = stepper.reset(state, [1])
    assert state.clock.tolist() == [2, 0] and before.clock.tolist() == [2, 2]
    for t in range(5):
        frames = np.stack([x[0, min(t + 2, 4)], y[1, t]])
        outputs, state = stepper.step(frames[1:], state, streams=[1])
    np.testing.assert_allclose(array(outputs)[0], model.predict(y, verbose=0)[1], atol=1e-5)
    assert state.clock.tolist() == [2, 5]
    again, _ = run(stepper, y, stepper.reset(state))
    np.testing.assert_allclose(again[-1], model.predict(y, verbose=0), atol=1e-5)


def test_a_stream_ends_with_the_last_step():
    stepper = Stepper(network())
    x = samples(stepper.model, 2)
    _, state = run(stepper, x)
    _, state = stepper.step(x[:1], stepper.reset(state, [True, False]), streams=[0])
    with pytest.raises(ValueError, match=r"less than 3 time steps.*streams \[1\] have had.*reset"):
        stepper.step(x, state)


def test_neurons_alone_have_no_last_step():
    model = network(attention=False, classifier_activation=None)
    longer = network(attention=False, classifier_activation=None, steps=6)
    stepper = Stepper(model)
    assert not stepper.bounded and Stepper(network()).bounded
    x = samples(model)
    _, state = run(stepper, x)
    found, state = run(stepper, x, state)
    np.testing.assert_allclose(found[-1], longer.predict(x, verbose=0), atol=1e-5)


def test_images_are_prepared_once():
    model = network()
    stepper, x = Stepper(model), samples(model)
    ready = stepper.prepare(x)
    state = stepper.initial_state(len(x))
    for _ in range(3):
        outputs, state = stepper.step(ready, state)
    np.testing.assert_allclose(array(outputs), model.predict(x, verbose=0), atol=1e-5)
    # The layers before the time axis are not among those of a step.
    assert ready.tensor.shape[-1] == 4


def test_a_fused_network():
    model = keras_staa.fuse(network(input_shape=FRAMES))
    x = samples(model)
    found, _ = run(Stepper(model), x)
    np.testing.assert_allclose(found[-1], model.predict(x, verbose=0), atol=1e-5)


def test_weights_that_change_are_seen():
    model = network()
    stepper, x = Stepper(model), samples(model)
    before, _ = run(stepper, x)
    model.get_layer("predictions").bias.assign([3.0, 0, 0])
    after, _ = run(stepper, x)
    np.testing.assert_allclose(after[-1], model.predict(x, verbose=0), atol=1e-5)
    assert np.abs(after[-1] - before[-1]).max() > 0.1


def test_mixed_precision():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = network(input_shape=FRAMES)
    finally:
        keras.config.set_dtype_policy(policy)
    stepper, x = Stepper(model), samples(model)
    found, state = run(stepper, x)
    kinds = {keras.backend.standardize_dtype(v.dtype) for v in keras.tree.flatten(state.layers)}
    assert kinds == {"float32"}
    # A rounding of 8 bits can flip a spike.
    assert np.abs(found[-1] - model.predict(x, verbose=0)).mean() < 0.02


def test_a_network_of_other_layers():
    """A layer that is called twice has two states, a model inside of another one is gone into."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4, 6))
    x = layers.PerStep(keras.layers.Dense(8))(inputs)
    x = keras.layers.Add()([x, keras.layers.Dense(8)(x)])
    x = keras.layers.Dropout(0.5)(keras.layers.LayerNormalization()(x))
    shared = layers.LIF(threshold=0.2, name="shared")
    x = keras.layers.Concatenate()([shared(x), shared(x * 2.0)])
    inner = [layers.LIF(threshold=0.1, name="inner"), layers.PerStep(keras.layers.Dense(3))]
    inner = keras.Sequential([keras.Input((4, 16)), *inner])
    mean = keras.layers.Dense(2)(layers.MeanOverSteps(name="mean")(x))
    model = keras.Model(inputs, {"steps": inner(x), "mean": mean})
    stepper = Stepper(model)
    assert sorted(stepper.initial_state(2).layers) == ["inner", "mean", "shared", "shared/2"]
    x = samples(model)
    found, _ = run(stepper, x)
    whole = model.predict(x, verbose=0)
    assert np.ptp(whole["steps"]) > 1e-3
    np.testing.assert_allclose(found[-1]["mean"], whole["mean"], atol=1e-5)
    steps = np.stack([one["steps"] for one in found], axis=1)
    np.testing.assert_allclose(steps, whole["steps"], atol=1e-5)


@keras.saving.register_keras_serializable("tests")
class Differences(keras.layers.Layer):
    """A layer of someone else that carries the step before."""

    def call(self, x):
        before = keras.ops.concatenate([keras.ops.zeros_like(x[:, :1]), x[:, :-1]], axis=1)
        return x - before

    def initial_state(self, shape):
        return keras.ops.zeros(shape)

    def stream(self, inputs, state, clock):
        return inputs - state, inputs


def sequence(*given, shape=(4, 6)):
    return keras.Sequential([keras.Input(shape), *given])


def test_a_layer_of_someone_else_by_the_two_methods():
    model = sequence(
        Differences(), layers.LIF(threshold=0.2), layers.PerStep(keras.layers.Dense(2))
    )
    x = samples(model)
    found, _ = run(Stepper(model), x)
    np.testing.assert_allclose(np.stack(found, axis=1), model.predict(x, verbose=0), atol=1e-6)


BAD_MODELS = {
    "looks ahead": (lambda: network(causal=False), r"'step_attention.*looks at later time steps"),
    "convolution over time": (
        lambda: sequence(layers.LIF(), keras.layers.Conv1D(3, 2)),
        r"`model` must have layers that run one time step.*`Conv1D`.*PerStep.*initial_state",
    ),
    "norm over time": (
        lambda: sequence(layers.LIF(), keras.layers.LayerNormalization(axis=(1, 2))),
        "`LayerNormalization`",
    ),
    "joins steps": (
        lambda: sequence(layers.LIF(), keras.layers.Flatten(), keras.layers.Dense(3)),
        "`Flatten`",
    ),
    "any size": (
        lambda: network(input_shape=(None, None, 3), attention=False),
        r"`model` must have an input of a fixed size. Received: .*None, None, 3",
    ),
    "not built": (lambda: keras.Sequential([layers.LIF()]), "`model` must be .* that is built"),
    "no model": (lambda: 3, "`model` must be a keras.Model. Received: model=3"),
}


@pytest.mark.parametrize("name", BAD_MODELS)
def test_a_model_that_cannot_be_streamed(name):
    make, message = BAD_MODELS[name]
    with pytest.raises(ValueError, match=message):
        Stepper(make())


def test_bad_inputs():
    stepper = Stepper(network(input_shape=FRAMES))
    state, x = stepper.initial_state(2), samples(stepper.model, 2)
    with pytest.raises(
        ValueError, match=r"`x` must have one time step.*\(B, 12, 12, 2\).*\(2, 5, 12"
    ):
        stepper.step(x, state)
    with pytest.raises(ValueError, match="for each of the 2 streams. Received: 1"):
        stepper.step(x[:1, 0], state)
    for streams in ([0, 0], [2], [-1], [[0]], ["a"], [True]):
        with pytest.raises(ValueError, match="`streams` must"):
            stepper.step(x[:, 0], state, streams=streams)
    with pytest.raises(ValueError, match="`streams` must be a positive integer"):
        stepper.initial_state(0)
    with pytest.raises(ValueError, match="`prepare` is for networks that take images"):
        stepper.prepare(x)
    images = Stepper(network())
    ready = images.prepare(samples(images.model, 3))
    with pytest.raises(ValueError, match="for each of the 2 streams. Received: 3"):
        images.step(ready, images.initial_state(2))


def test_a_mean_of_many_steps_keeps_its_digits():
    layer = layers.MeanOverSteps(dtype="bfloat16")
    model = keras.Sequential([keras.Input((300, 2), dtype="bfloat16"), layers.LIF(), layer])
    x = np.ones((1, 300, 2), "float32")
    found, _ = run(Stepper(model), x)
    # A sum in bfloat16 would stand still at 256.
    expected = array(keras.ops.cast(model(x), "float32"))
    np.testing.assert_allclose(array(keras.ops.cast(found[-1], "float32")), expected)
    assert expected.tolist() == [[1.0, 1.0]]
