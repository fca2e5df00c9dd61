"""One contract for hand-written gradients on every backend."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_staa.ops import with_backward
from keras_staa.ops.gradient import pullback
from tests.gradients import gradients

X = np.array([[1.0, -2.0], [0.5, 3.0]], "float32")


def test_the_given_gradient_is_used_and_not_that_of_the_forward():
    function = with_backward(lambda x: (2.0 * x, (x,)), lambda saved, g: (g * saved[0] * 7.0,))
    output, (dx,) = gradients(function, [X], np.full_like(X, 3.0))
    np.testing.assert_array_equal(output, 2 * X)
    np.testing.assert_array_equal(dx, 21 * X)


def test_each_input_gets_its_gradient_in_its_shape():
    def forward(x, m):
        return x * m, (x, m)

    def backward(saved, g):
        x, m = saved
        return g * m, ops.sum(g * x, axis=0)

    m = np.array([10.0, 100.0], "float32")
    _, (dx, dm) = gradients(with_backward(forward, backward), [X, m], np.ones_like(X))
    np.testing.assert_array_equal(dx, np.broadcast_to(m, X.shape))
    np.testing.assert_array_equal(dm, X.sum(axis=0))


def test_several_outputs():
    function = with_backward(
        lambda x: ((x + 1.0, x * 5.0), ()), lambda saved, g: (g[0] * 2.0 + g[1] * 3.0,)
    )

    def joined(x):
        first, second = function(x)
        return first * 10.0 + second * 100.0

    output, (dx,) = gradients(joined, [X], np.ones_like(X))
    np.testing.assert_allclose(output, 10 * (X + 1) + 500 * X)
    np.testing.assert_array_equal(dx, np.full_like(X, 2 * 10 + 3 * 100))


def test_a_variable_trains_through_it():
    variable = keras.Variable(np.full(2, 4.0, "float32"))
    function = with_backward(
        lambda m, x: (m * x, (x,)),
        lambda saved, g: (ops.sum(saved[0] * g, axis=0), ops.zeros_like(g)),
    )

    class Scale(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.m = variable

        def call(self, x):
            return function(ops.convert_to_tensor(self.m), x)

    model = keras.Sequential([keras.Input((2,)), Scale()])
    model.compile(keras.optimizers.SGD(0.5), loss=lambda y, p: p)
    model.train_on_batch(X, np.zeros_like(X))
    # The loss is the mean over all outputs.
    expected = 4.0 - 0.5 * X.mean(axis=0) / 2
    np.testing.assert_allclose(ops.convert_to_numpy(variable), expected, rtol=1e-6)


def test_an_error_of_the_forward_comes_out():
    def forward(x):
        raise ArithmeticError("from the forward pass")

    function = with_backward(forward, lambda saved, g: (g,))
    with pytest.raises(ArithmeticError, match="from the forward pass"):
        function(ops.convert_to_tensor(X))


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="compiled by TensorFlow")
def test_what_passes_through_a_compiled_function_is_not_copied():
    from keras_staa.ops.gradient import _xla

    x, y = (ops.convert_to_tensor(X + i) for i in range(2))
    double, same, nothing = _xla(lambda x, pair: (2.0 * x, (pair[0], x), None))(x, (y, x))[:3]
    np.testing.assert_array_equal(double, 2 * X)
    assert same[0] is y and same[1] is x and nothing is None


def test_a_tensor_given_twice_has_the_gradient_of_each_place():
    """d(3 x y) of x and of y, which are one tensor here; and none of an input that is not used."""
    x, one = ops.convert_to_tensor(X), ops.ones((2, 2))
    found = pullback(lambda x, y, z: (3.0 * x * y,), (x, x, x), (one,))
    expected = [3 * X, 3 * X, np.zeros_like(X)]
    for got, value in zip(found, expected, strict=True):
        np.testing.assert_allclose(ops.convert_to_numpy(got), value, rtol=1e-6)
