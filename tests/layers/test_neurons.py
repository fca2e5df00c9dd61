"""Neurons by their equations: against NumPy, against each other, and step by step."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_staa.layers import ALIF, IF, LIF, PLIF, STAA, STAALIF, LinearNeuron, Neuron, STAANeuron
from tests import reference
from tests.layers.support import assert_near, evaluate, layer_gradients, randomise

# Unrolled and rolled loops.
STEPS = [1, 5, 20]
SHAPE = (3, 4)


def currents(steps, seed=0, shape=SHAPE):
    rng = np.random.default_rng([seed, steps])
    return rng.normal(0.6, 0.8, (2, steps, *shape)).astype("float32")


def alif_reference(x, g, decay, rho, strength, threshold, surrogate):
    """Spikes, the distance of the potential to the threshold, and the gradient of x, by hand."""
    x, g = reference.f64(x), reference.f64(g)
    h, b = np.zeros_like(x[:, 0]), np.zeros_like(x[:, 0])
    spikes, over, limits = (np.empty_like(x) for _ in range(3))
    for t in range(x.shape[1]):
        limits[:, t] = threshold + strength * b
        v = decay * h + x[:, t]
        over[:, t] = v - limits[:, t]
        spikes[:, t] = over[:, t] >= 0
        h = v - limits[:, t] * spikes[:, t]
        b = rho * b + (1 - rho) * spikes[:, t]
    dx, dh, db = np.empty_like(x), np.zeros_like(h), np.zeros_like(b)
    for t in reversed(range(x.shape[1])):
        ds = g[:, t] - dh * limits[:, t] + db * (1 - rho)
        du = ds * surrogate(over[:, t])
        dlimit = -dh * spikes[:, t] - du
        dx[:, t] = dh + du
        db = rho * db + strength * dlimit
        dh = decay * dx[:, t]
    return spikes, over, dx


@pytest.mark.parametrize("steps", STEPS)
def test_alif(steps):
    x, g = currents(steps), currents(steps, 1)
    layer = ALIF(0.8, 0.7, 1.5, 0.6, surrogate="sigmoid")
    spikes, dx, _ = layer_gradients(built(layer, x), x, g)
    given = (0.8, 0.7, 1.5, 0.6, reference.sigmoid)
    expected, over, ex = alif_reference(x, g, *given)
    assert np.abs(over).min() > 1e-6, "a potential too close to call in float32"
    np.testing.assert_array_equal(spikes, expected)
    assert steps == 1 or 0.1 < spikes.mean() < 0.9
    assert_near(dx, ex, 1e-5)


@pytest.mark.parametrize("reset", ["hard", "soft"])
@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("kind", [IF, PLIF])
def test_neurons_of_a_linear_potential(kind, steps, reset):
    x, g = currents(steps), currents(steps, 1)
    layer = built(kind(threshold=0.7, reset=reset, detach_reset=False, surrogate="arctan"), x)
    rate = np.full(4, 1.0)
    decay = rate
    if kind is PLIF:
        assert [w.name for w in layer.weights] == ["leak"] and layer.leak.shape == ()
        # tau = 2 at the start.
        np.testing.assert_allclose(ops.convert_to_numpy(ops.sigmoid(layer.leak)), 0.5)
        layer.leak.assign(0.4)
        rate = np.full(4, reference.logistic(np.float32(0.4)))
        decay = 1 - rate
    spikes, dx, dw = layer_gradients(layer, x, g)
    given = (decay, rate, 0.7, reset)
    expected, v = reference.lif_forward(x, *given)
    assert np.abs(v - 0.7).min() > 1e-6, "a potential too close to call in float32"
    np.testing.assert_array_equal(spikes, expected)
    ex, ddecay, drate = reference.lif_backward(x, g, *given, False, "arctan")
    assert_near(dx, ex, 1e-5)
    if kind is PLIF:
        slope = rate[0] * (1 - rate[0])
        assert_near(dw[0], (drate.sum() - ddecay.sum()) * slope, 1e-5)


def built(layer, x):
    layer.build((None, *x.shape[1:]))
    return layer


class ByDifferentiation(LIF):
    """The same equations, without the hand-written gradient."""

    call = Neuron.call
    gated = Neuron.gated


@pytest.mark.parametrize("detach", [True, False])
@pytest.mark.parametrize("reset", ["hard", "soft"])
@pytest.mark.parametrize("steps", STEPS)
def test_the_hand_written_gradient_is_the_one_of_the_equations(steps, reset, detach):
    x, g = currents(steps), currents(steps, 1)
    given = {
        "learn": True,
        "threshold": 0.8,
        "reset": reset,
        "detach_reset": detach,
        "surrogate": "triangular",
    }
    own, other = (randomise(built(kind(**given), x)) for kind in (LIF, ByDifferentiation))
    found, expected = (layer_gradients(layer, x, g) for layer in (own, other))
    np.testing.assert_array_equal(found[0], expected[0])
    assert_near(found[1], expected[1], 1e-6)
    for got, wanted in zip(found[2], expected[2], strict=True):
        if np.abs(wanted).max() > 0:
            assert_near(got, wanted, 1e-5)


@pytest.mark.parametrize("steps", [4, 18])
@pytest.mark.parametrize("kind", [ALIF, IF, LIF, PLIF])
def test_step_by_step_the_spikes_are_those_of_a_call(kind, steps):
    x = currents(steps)
    layer = built(kind(threshold=0.7), x)
    state, found = layer.initial_state((2, *SHAPE)), []
    for t in range(steps):
        spikes, state = layer.step(state, ops.convert_to_tensor(x[:, t]))
        found.append(ops.convert_to_numpy(spikes))
    np.testing.assert_array_equal(np.stack(found, 1), evaluate_plainly(layer, x))


def evaluate_plainly(layer, x):
    return ops.convert_to_numpy(layer(ops.convert_to_tensor(x)))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("parts", [{}, {"position": None, "context": False, "step_gate": False}])
@pytest.mark.parametrize("neuron", [ALIF(threshold=0.3), LIF(learn=True), PLIF(threshold=0.3)])
def test_behind_an_aggregator(neuron, parts, training):
    x = currents(4, shape=(3, 3, 4))
    kind = type(neuron)
    arguments = {"bypass_rate": 0.5, "seed": 1, **parts}
    both = randomise(built(STAANeuron(kind.from_config(neuron.get_config()), **arguments), x))
    first = built(STAA(**arguments), x)
    second = built(kind.from_config(neuron.get_config()), x)
    first.set_weights(both.staa.get_weights())
    second.set_weights(both.neuron.get_weights())
    g = currents(4, 1, (3, 3, 4))
    spikes, dx, _ = layer_gradients(both, x, g, training=training)

    class Chain(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.first, self.second = first, second
            self.built = True

        def call(self, x, training=False):
            return self.second(self.first(x, training=training))

    expected, ex, _ = layer_gradients(Chain(), x, g, training=training)
    np.testing.assert_array_equal(spikes, expected)
    assert 0.05 < spikes.mean() < 0.95
    assert_near(dx, ex, 1e-5)


def test_any_lif_behind_an_aggregator_is_staalif():
    x = currents(4, shape=(3, 3, 4))
    own = randomise(built(STAALIF(threshold=0.5), x))
    other = built(STAANeuron(LIF(threshold=0.5, learn=True)), x)
    other.set_weights(own.get_weights())
    g = currents(4, 1, (3, 3, 4))
    for got, wanted in zip(
        layer_gradients(other, x, g)[:2], layer_gradients(own, x, g)[:2], strict=True
    ):
        np.testing.assert_array_equal(got, wanted)


class Learned(Neuron):
    """A neuron of one's own, with one weight a channel and one that is not trained."""

    def build(self, input_shape):
        super().build(input_shape)
        self.rate = self.add_coefficient("rate", 0.5, input_shape)
        self.shift = self.add_weight(name="shift", shape=(), trainable=False, initializer="ones")

    def step(self, state, drive):
        v = ops.sigmoid(self.rate) * state + drive * self.shift
        s = self.fire(v - self.threshold)
        return s, v * (1.0 - s)


@pytest.mark.parametrize("steps", [3, 512])
def test_a_neuron_of_ones_own_is_trained(steps):
    """By `fit`, compiled where the backend compiles: T = 512 in a rolled loop."""
    inputs = keras.Input((steps, 4))
    outputs = keras.layers.Dense(2)(keras.layers.Flatten()(Learned(surrogate="sigmoid")(inputs)))
    model = keras.Model(inputs, outputs)
    jit = keras.backend.backend() != "torch"
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=jit)
    rate, shift = model.layers[1].weights
    before = ops.convert_to_numpy(rate)
    x = currents(steps, shape=(4,))
    model.fit(x, np.ones((2, 2)), epochs=1, verbose=0)
    moved = np.abs(ops.convert_to_numpy(rate) - before)
    assert (moved > 0).all() and np.isfinite(moved).all()
    np.testing.assert_array_equal(ops.convert_to_numpy(shift), 1.0)


@pytest.mark.parametrize("steps", [5, 20])
def test_the_gradient_of_a_weight_is_that_of_the_unrolled_loop(steps, monkeypatch):
    from keras_staa.ops import loop

    x, g = currents(steps), currents(steps, 1)
    found = []
    for limit in (1, 100):
        monkeypatch.setattr(loop, "UNROLLED_STEPS", limit)
        layer = built(Learned(surrogate="sigmoid", threshold=0.8), x)
        found.append(layer_gradients(layer, x, g))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    assert_near(found[0][1], found[1][1], 1e-6)
    assert_near(found[0][2][0], found[1][2][0], 1e-5)


@pytest.mark.parametrize("steps", [4, 18])
def test_the_state_is_float32_under_mixed_precision(steps):
    seen = []

    class Watching(IF):
        call = Neuron.call

        def step(self, state, drive):
            seen.append((str(state.dtype), str(drive.dtype)))
            return super().step(state, drive)

    layer = Watching(dtype="mixed_bfloat16")
    outputs = layer(ops.ones((1, steps, 2)) * 0.3)
    assert keras.backend.standardize_dtype(outputs.dtype) == "bfloat16"
    assert seen and all("float32" in name for pair in seen for name in pair)


@pytest.mark.parametrize("steps", [4, 18])
def test_no_number_in_no_number_out(steps):
    x = currents(steps)
    x[0, 1, 0, 0] = np.nan
    spikes = evaluate(built(ALIF(), x), x)
    assert np.isnan(spikes[0, 1:, 0, 0]).all() and np.isnan(spikes).sum() == steps - 1


def test_a_keras_file_holds_any_neuron(tmp_path):
    inputs = keras.Input((3, 4, 4, 8))
    model = keras.Model(inputs, STAANeuron(PLIF(time_constant=3.0))(inputs))
    model.save(tmp_path / "network.keras")
    again = keras.saving.load_model(tmp_path / "network.keras")
    x = currents(3, shape=(4, 4, 8))
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))
    assert again.layers[1].neuron.time_constant == 3.0


ERRORS = {
    "tau that is no number": (lambda: PLIF(time_constant=None), "`time_constant` must be"),
    "tau": (lambda: PLIF(time_constant=1.0), "`time_constant` must be a number of time steps"),
    "strength": (lambda: ALIF(strength=0), "`strength` must be"),
    "neuron": (lambda: STAANeuron(keras.layers.ReLU()), "`neuron` must be an instance of"),
    "step": (lambda: Neuron()(ops.ones((1, 2))), "`Neuron` must have a method `step`"),
    "M and N": (
        lambda: LinearNeuron()(ops.ones((1, 2))),
        "`LinearNeuron` must have a method `coefficients`",
    ),
    "channels": (
        lambda: Learned().build((None, 4, None)),
        "must have a static last axis, because `rate` gives each channel its own",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_say_what_came(name):
    call, message = ERRORS[name]
    with pytest.raises((ValueError, NotImplementedError), match=message):
        call()
