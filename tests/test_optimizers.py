"""ScaledSGD against plain SGD and against arithmetic by hand."""

import keras
import numpy as np
import pytest

from keras_staa.optimizers import ScaledSGD


def variables():
    with keras.name_scope("norm"):
        return [
            keras.Variable(np.array([1.0, 2.0], "float32"), name=name) for name in ("gamma", "beta")
        ]


def values(of):
    return [keras.ops.convert_to_numpy(v) for v in of]


def test_a_factor_scales_the_steps_of_its_variables_alone():
    gradients = [keras.ops.convert_to_tensor([0.5, -1.0]) for _ in range(2)]
    scaled, slow, fast = variables(), variables(), variables()
    given = {"momentum": 0.9, "nesterov": True}
    optimizers = (
        (ScaledSGD(0.1, factors={"beta": 8.0}, **given), scaled),
        (keras.optimizers.SGD(0.1, **given), slow),
        (keras.optimizers.SGD(0.8, **given), fast),
    )
    for optimizer, each in optimizers:
        optimizer.build(each)
        for _ in range(3):
            optimizer.apply(gradients, each)
    np.testing.assert_allclose(values(scaled)[0], values(slow)[0], rtol=1e-6)
    np.testing.assert_allclose(values(scaled)[1], values(fast)[1], rtol=1e-6)
    assert not np.allclose(values(slow)[1], values(fast)[1])


def test_weight_decay_has_no_factor():
    scaled = variables()
    optimizer = ScaledSGD(0.1, factors={"beta": 8.0}, weight_decay=0.5)
    optimizer.build(scaled)
    optimizer.apply([keras.ops.zeros(2) for _ in range(2)], scaled)
    for value in values(scaled):
        np.testing.assert_allclose(value, [0.95, 1.9], rtol=1e-6)


def test_a_configuration_makes_the_same():
    optimizer = ScaledSGD(0.1, factors={"beta": 8}, momentum=0.9)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert type(again) is ScaledSGD and again.get_config() == optimizer.get_config()
    assert again.factors == {"beta": 8.0}


@pytest.mark.parametrize("factors", [{"beta": 0.0}, {"beta": -1}, {"beta": "fast"}, [8.0], 8.0])
def test_factors_that_are_none(factors):
    with pytest.raises(ValueError, match="`factors.*Received: .*"):
        ScaledSGD(factors=factors)
