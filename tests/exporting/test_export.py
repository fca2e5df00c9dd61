"""An exported file, run by its own runtime, does what the network does."""

import pathlib

import keras
import numpy as np
import pytest

import keras_staa
from keras_staa import exporting
from tests.zoo.support import tiny

BACKEND = keras.backend.backend()
WRITTEN = [name for name, module in exporting.FORMATS.items() if BACKEND in module.BACKENDS]
needs = pytest.mark.skipif


def samples(model, count=100):
    return np.random.default_rng(1).random((count, *model.input_shape[1:]), "float32")


def network(**arguments):
    return tiny(create=keras_staa.STAACompact, input_shape=(32, 32, 3), steps=2, **arguments)


def out(folder, name):
    return folder / f"network{exporting.FORMATS[name].SUFFIX}"


# Two of several on PyTorch take most of a minute each.
LONG = ("openvino", "torch")
QUICK = [pytest.param(n, marks=pytest.mark.slow) if n in LONG else n for n in WRITTEN]


@pytest.mark.parametrize("name", QUICK)
def test_the_file_does_what_the_network_does(name, tmp_path):
    model, path = network(), out(tmp_path, name)
    x = samples(model)
    found = keras_staa.export(model, path, name, samples=x, at_least=1.0)
    assert (found.same, found.samples, found.format) == (100, 100, name)
    assert found.difference < 1e-4 and found.milliseconds > 0
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert found.bytes == sum(file.stat().st_size for file in files)
    assert found.bytes > 4 * model.count_params()
    run = exporting.FORMATS[name].runner(path)
    expected = keras.ops.convert_to_numpy(model.predict(x, verbose=0))
    # Batches that the export has not tried.
    for count in (3, 17):
        np.testing.assert_allclose(run(x[:count]), expected[:count], atol=1e-4)


@pytest.mark.heavy
@needs("onnx" not in WRITTEN, reason="JAX writes no ONNX.")
def test_onnx_without_this_library(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    model = network(neuron={"threshold": 0.3, "reset": "soft"})
    keras_staa.export(model, tmp_path / "a.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx")
    (given,) = session.get_inputs()
    assert given.shape[1:] == [32, 32, 3]
    x = samples(model, 5)
    (found,) = session.run(None, {given.name: x})
    expected = keras.ops.convert_to_numpy(model.predict(x, verbose=0))
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.slow
def test_compiled_neurons_are_left_out(tmp_path):
    model = keras_staa.jit_compile(network())
    name = WRITTEN[-1]
    found = keras_staa.export(model, out(tmp_path, name), name, samples=samples(model, 20))
    assert found.same == 20 and found.difference < 1e-4


@needs(BACKEND != "torch", reason="PyTorch's exporters follow an autograd function wrongly.")
def test_kerass_own_export_to_onnx(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    model = network()
    spec = [keras.InputSpec(shape=(1, 32, 32, 3), dtype="float32", name="input")]
    model.export(tmp_path / "a.onnx", format="onnx", verbose=False, input_signature=spec)
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx")
    x = samples(model, 1)
    (found,) = session.run(None, {session.get_inputs()[0].name: x})
    expected = keras.ops.convert_to_numpy(model.predict(x, verbose=0))
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.slow
@needs("openvino" not in WRITTEN, reason="JAX writes no ONNX.")
def test_openvino_takes_the_right_places(tmp_path):
    """One index of a last axis was another one in OpenVINO, for batches of more than 16."""
    model = tiny(create=keras_staa.STAACompact, input_shape=(32, 32, 3), steps=4, width=16)
    x = samples(model)
    found = keras_staa.export(model, tmp_path / "a.xml", "openvino", samples=x)
    assert found.difference < 1e-4
    run = exporting.FORMATS["openvino"].runner(tmp_path / "a.xml")
    expected = keras.ops.convert_to_numpy(model.predict(x, verbose=0))
    for _ in range(3):
        np.testing.assert_allclose(run(x), expected, atol=1e-4)


@pytest.mark.slow
@needs(BACKEND != "tensorflow", reason="TensorFlow writes LiteRT.")
@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_fewer_bits(dtype, tmp_path):
    model = network(width=16)
    x = samples(model)
    full = keras_staa.export(model, tmp_path / "full.tflite", "litert", samples=x)
    found = keras_staa.export(
        model, tmp_path / "less.tflite", "litert", dtype, samples=x, at_least=0.5
    )
    assert found.bytes < 0.7 * full.bytes
    # A threshold that two neighboring float32 numbers stand for would leave one class in ten.
    assert found.difference < 0.3


@pytest.mark.heavy
def test_a_file_that_does_something_else_is_not_kept(tmp_path, monkeypatch):
    name = WRITTEN[0]
    module = exporting.FORMATS[name]
    runner = module.runner
    monkeypatch.setattr(module, "runner", lambda path: lambda x: -runner(path)(x))
    with pytest.raises(ValueError, match=r"for 0 of 20 samples, and `at_least` is 0.95"):
        model = tiny(classes=2)
        keras_staa.export(model, out(tmp_path, name), name, samples=samples(model, 20))
    assert not list(tmp_path.iterdir())


def test_a_file_of_another_shape_is_not_kept(tmp_path, monkeypatch):
    name = WRITTEN[0]
    module = exporting.FORMATS[name]
    monkeypatch.setattr(module, "runner", lambda path: lambda x: np.zeros((len(x), 7)))
    with pytest.raises(ValueError, match=r"gives \(100, 7\) for \(100, 3\)"):
        keras_staa.export(tiny(), out(tmp_path, name), name)
    assert not list(tmp_path.iterdir())


def no_input():
    return keras.Sequential([keras.layers.Dense(3)])


def any_size():
    return tiny(input_shape=(None, None, 3), attention=False)


def two_inputs():
    inputs = keras.Input((3,)), keras.Input((3,))
    return keras.Model(inputs, keras.layers.Add()(inputs))


def test_sixteen_bits_are_refused(tmp_path):
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = tiny()
    finally:
        keras.config.set_dtype_policy(policy)
    with pytest.raises(ValueError, match="dtype policy float32 in all layers.*mixed_bfloat16"):
        keras_staa.export(model, out(tmp_path, WRITTEN[0]), WRITTEN[0])


def test_another_backend_writes_it(tmp_path):
    other = next(name for name in exporting.FORMATS if name not in WRITTEN)
    with pytest.raises(ValueError, match=f"`format` '{other}' is written on .*{BACKEND}"):
        keras_staa.export(tiny(), out(tmp_path, other), other)


def test_a_package_is_missing(tmp_path, monkeypatch):
    name = WRITTEN[-1]
    module = exporting.FORMATS[name]
    monkeypatch.setitem(module.PACKAGES, BACKEND, ("no-such-package",))
    with pytest.raises(ImportError, match="needs: pip install no-such-package"):
        keras_staa.export(tiny(), out(tmp_path, name), name)


@needs(BACKEND != "tensorflow", reason="TensorFlow writes LiteRT.")
def test_ranges_need_samples(tmp_path):
    with pytest.raises(ValueError, match='`dtype="int8"` needs `samples`'):
        keras_staa.export(tiny(), tmp_path / "a.tflite", "litert", "int8")


@pytest.mark.parametrize(
    "create, arguments, message",
    [
        (tiny, {"format": "gif"}, "`format` must be one of .*Received: format='gif'"),
        (tiny, {"dtype": "int4"}, "`dtype` must be one of .*Received: dtype='int4'"),
        (tiny, {"at_least": 2}, r"`at_least` must be a number in \[0, 1\]"),
        (tiny, {"path": "a.txt"}, "`path` must end in .*a.txt"),
        (tiny, {"path": "no/such/folder/a"}, "`path` must be in a folder that exists"),
        (tiny, {"path": "there"}, "`path` must not exist yet"),
        (tiny, {"samples": np.zeros((5, 8, 8, 3))}, r"shape \(N, 16, 16, 3\).*\(5, 8, 8, 3\)"),
        (tiny, {"samples": np.zeros((0, 16, 16, 3))}, r"shape \(N, 16, 16, 3\)"),
        (no_input, {}, "`model` must be a built keras.Model"),
        (any_size, {}, "`model` must have one input, whose sizes"),
        (two_inputs, {}, "`model` must have one input"),
        (lambda: keras.Sequential, {}, "`model` must be a built keras.Model"),
    ],
)
def test_bad_arguments(create, arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = arguments.get("format", WRITTEN[0])
    suffix = exporting.FORMATS[WRITTEN[0]].SUFFIX
    if not suffix and arguments.get("path") == "a.txt":
        pytest.skip("a folder has any name")
    path = pathlib.Path(arguments.get("path", "a"))
    path = path if path.suffix else path.with_suffix(suffix)
    if arguments.get("path") == "there":
        path.mkdir()
    rest = {k: v for k, v in arguments.items() if k not in ("path", "format")}
    with pytest.raises(ValueError, match=message):
        keras_staa.export(create(), path, name, **rest)
    assert len(list(tmp_path.iterdir())) == (arguments.get("path") == "there")
