"""A bad argument or shape is a ValueError that names it, what came and what is allowed."""

import keras
import numpy as np
import pytest

from keras_staa.layers import (
    LIF,
    STAA,
    STAALIF,
    GlobalContext,
    MeanOverSteps,
    MeanStepAttention,
    PerStep,
    PositionEncoding,
    RepeatSteps,
    StepAttention,
)

# Layer, a bad argument, its value, a part of the message that says what is allowed.
ARGUMENTS = [
    (RepeatSteps, "steps", 0, "a positive integer"),
    (RepeatSteps, "steps", -1, "a positive integer"),
    (RepeatSteps, "steps", 2.0, "a positive integer"),
    (RepeatSteps, "steps", True, "a positive integer"),
    (PerStep, "layer", None, "a keras.layers.Layer"),
    (PerStep, "layer", "conv", "a keras.layers.Layer"),
    (PositionEncoding, "kind", "learned", "one of ['axial', 'full', 'sinusoidal']"),
    (GlobalContext, "ratio", 0, "a positive integer"),
    (GlobalContext, "ratio", 1.5, "a positive integer"),
    (StepAttention, "causal", "yes", "True or False"),
    (MeanStepAttention, "causal", "yes", "True or False"),
    (StepAttention, "units", 0, "a positive integer"),
    *(
        (kind, name, value, allowed)
        for kind in (LIF, STAALIF)
        for name, value, allowed in [
            ("threshold", 0, "a positive number"),
            ("threshold", -1.0, "a positive number"),
            ("threshold", float("nan"), "a positive number"),
            ("threshold", float("inf"), "a positive number"),
            ("threshold", "1", "a positive number"),
            ("decay", -0.1, "a number in [0, 1]"),
            ("decay", 1.1, "a number in [0, 1]"),
            ("gain", 0.0, "a positive number"),
            ("learn", 1, "True or False"),
            ("reset", "zero", "one of ['hard', 'soft']"),
            ("detach_reset", None, "True or False"),
            ("surrogate", "gauss", "'arctan', 'rectangular', 'sigmoid', 'triangular'"),
            ("surrogate", 3, "a callable"),
        ]
    ),
    *(
        (kind, name, value, allowed)
        for kind in (STAA, STAALIF)
        for name, value, allowed in [
            ("ratio", 0, "a positive integer"),
            ("position", "learned", "'axial', 'full', 'sinusoidal'"),
            ("context", "yes", "True or False"),
            ("step_gate", "future", "[False, True, 'causal', 'mean', 'causal_mean']"),
            ("step_units", 1.5, "a positive integer"),
            ("bypass_rate", -0.1, "a number in [0, 1)"),
            ("bypass_rate", 1.0, "a number in [0, 1)"),
            ("bypass_rate", 1.5, "a number in [0, 1)"),
            ("bypass_rate", "often", "a number in [0, 1)"),
        ]
    ),
]


@pytest.mark.parametrize(("kind", "name", "value", "allowed"), ARGUMENTS)
def test_an_argument(kind, name, value, allowed):
    with pytest.raises(ValueError) as error:
        kind(**{name: value})
    message = str(error.value)
    assert f"`{name}` must be" in message
    assert allowed in message
    assert f"Received: {name}={value!r}" in message


def test_a_ratio_larger_than_the_channels():
    for layer in (GlobalContext(ratio=4), STAA(ratio=4), STAALIF(ratio=4)):
        with pytest.raises(ValueError) as error:
            layer(np.zeros((2, 3, 4, 4, 3), "float32"))
        for part in ("`ratio` must not be larger than the channels", "3.", "ratio=4"):
            assert part in str(error.value)


IMAGES = {
    "position": PositionEncoding,
    "context": lambda: GlobalContext(ratio=1),
    "steps": StepAttention,
    "mean-steps": MeanStepAttention,
    "staa": lambda: STAA(ratio=1),
    "staalif": lambda: STAALIF(ratio=1),
}


@pytest.mark.parametrize("shape", [(2, 4, 4, 3), (2, 3, 4, 4, 3, 1)])
@pytest.mark.parametrize("name", IMAGES)
def test_an_input_that_is_not_of_rank_5(name, shape):
    layer = IMAGES[name]()
    with pytest.raises(ValueError) as error:
        layer(np.zeros(shape, "float32"))
    for part in ("must have rank 5 (B, T, H, W, C)", f"Received: input_shape={shape}"):
        assert part in str(error.value)


@pytest.mark.parametrize(
    "layer", [LIF(), MeanOverSteps(), PerStep(keras.layers.ReLU())], ids=["lif", "mean", "per-step"]
)
def test_an_input_without_a_time_axis(layer):
    with pytest.raises(ValueError) as error:
        layer(np.zeros(3, "float32"))
    for part in ("must have rank at least 2 (B, T, ...)", "Received: input_shape=(3,)"):
        assert part in str(error.value)


STATIC = {
    "lif": (LIF, (None, None, 4)),
    **{name: (make, (None, None, 4, 4, 3)) for name, make in IMAGES.items() if name != "context"},
}


@pytest.mark.parametrize("name", STATIC)
def test_an_unknown_number_of_steps(name):
    make, shape = STATIC[name]
    with pytest.raises(ValueError) as error:
        make()(keras.Input(batch_shape=shape))
    for part in ("static size on axis T", f"Received: input_shape={shape}"):
        assert part in str(error.value)


def test_learned_coefficients_need_static_channels():
    with pytest.raises(ValueError, match=r"static last axis.*`learn`.*\(None, 4, None\)"):
        LIF(learn=True)(keras.Input((4, None)))


BUILT = {
    "lif": (LIF, (2, 4, 3)),
    "lif-learned": (lambda: LIF(learn=True), (2, 4, 3)),
    **{
        name: (make, (2, 4, 6, 6, 3))
        for name, make in IMAGES.items()
        if name not in ("context", "steps")
    },
    "staa-position-only": (lambda: STAA(context=False, step_gate=False), (2, 4, 6, 6, 3)),
    "staa-mean-only": (
        lambda: STAA(position=None, context=False, step_gate="mean"),
        (2, 4, 6, 6, 3),
    ),
}


@pytest.mark.parametrize("built", [1, 4])
@pytest.mark.parametrize("name", BUILT)
def test_steps_that_do_not_match_the_built_shape(name, built):
    make, (b, _, *rest) = BUILT[name]
    layer = make()
    layer(np.zeros((b, built, *rest), "float32"))
    with pytest.raises(ValueError) as error:
        layer(np.zeros((b, 5, *rest), "float32"))
    for part in ("axis 1", f"value {built}", f"shape ({b}, 5, "):
        assert part in str(error.value)


@pytest.mark.parametrize("causal", [False, True])
def test_step_attention_takes_any_number_of_steps(causal):
    layer = StepAttention(causal=causal)
    for steps in (4, 1, 7):
        assert layer(np.zeros((2, steps, 3, 3, 5), "float32")).shape == (2, steps, 3, 3, 5)


SIZES = {
    "position": (PositionEncoding, (2, 4, 6, 6, 3), (2, 4, 6, 5, 3), "axis 3"),
    "staa": (lambda: STAA(ratio=1), (2, 4, 1, 1, 3), (2, 4, 6, 1, 3), "axis 2"),
    "context": (lambda: GlobalContext(ratio=1), (2, 4, 6, 6, 3), (2, 4, 6, 6, 4), "axis -1"),
    "context-rank": (lambda: GlobalContext(ratio=1), (2, 4, 6, 6, 3), (2, 4, 6, 3), "ndim=5"),
    "steps-rank": (StepAttention, (2, 4, 6, 6, 3), (2, 4, 6, 3), "ndim=5"),
    "lif": (lambda: LIF(learn=True), (2, 4, 3), (2, 4, 1), "axis -1"),
}


@pytest.mark.parametrize("name", SIZES)
def test_sizes_that_do_not_match_the_built_shape(name):
    make, built, other, axis = SIZES[name]
    layer = make()
    layer(np.zeros(built, "float32"))
    with pytest.raises(ValueError) as error:
        layer(np.zeros(other, "float32"))
    for part in (axis, str(other)):
        assert part in str(error.value)
