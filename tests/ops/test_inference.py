"""Functions compiled for inference: one contract on every backend."""

import keras
import numpy as np

from keras_staa.ops.inference import for_inference


def test_structures_go_in_and_out():
    function = for_inference(lambda x, more: {"sum": x + more["a"][0], "more": more}, [])
    x = np.arange(6.0, dtype="float32").reshape(2, 3)
    found = function(x, {"a": (x, x[:1])})
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(found["sum"]), 2 * x)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(found["more"]["a"][1]), x[:1])


def test_other_shapes_and_values_of_variables():
    weight = keras.Variable([2.0])
    function = for_inference(lambda x: x * weight, [weight])
    for count in (1, 3):
        found = keras.ops.convert_to_numpy(function(np.ones(count, "float32")))
        assert found.tolist() == [2.0] * count
    weight.assign([5.0])
    assert keras.ops.convert_to_numpy(function(np.ones(3, "float32"))).tolist() == [5.0] * 3


def test_there_is_no_gradient():
    weight = keras.Variable([2.0])
    found = for_inference(lambda x: x * weight, [weight])(np.ones(1, "float32"))
    assert not getattr(found, "requires_grad", False)
