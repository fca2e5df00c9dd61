"""ONNX, for onnxruntime and most of the tools that convert networks."""

import contextlib

SUFFIX = ".onnx"
BACKENDS = ("tensorflow", "torch")
PACKAGES = {
    "tensorflow": ("tf2onnx", "onnxruntime"),
    "torch": ("onnx", "onnxscript", "onnxruntime"),
}
DTYPES = ("float32",)


def write(model, path, dtype, samples):
    import keras

    if keras.backend.backend() == "torch":
        _write_torch(model, path, samples)
        return
    with _constants(model):
        model.export(path, format="onnx", verbose=False)


def runner(path):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    return lambda x: session.run(None, {given.name: x})[0]


def _write_torch(model, path, samples):
    """Write by PyTorch's exporter with a free batch, which Keras leaves to the older one."""
    import torch

    model.eval()
    torch.onnx.export(
        model,
        (torch.zeros((2, *samples.shape[1:])),),
        path,
        input_names=[model.inputs[0].name],
        dynamic_shapes=[({0: torch.export.Dim("batch")},)],
        dynamo=True,
        external_data=False,
        verbose=False,
    )


@contextlib.contextmanager
def _constants(model):
    """Let the constants of `Normalization` be numbers: tf2onnx takes tensors for inputs."""
    import keras
    import numpy as np

    from keras_staa import _keras

    found = [x for x in _keras.all_layers(model) if isinstance(x, keras.layers.Normalization)]
    kept = [(layer, layer.mean, layer.variance) for layer in found]
    for layer in found:
        layer.mean, layer.variance = np.asarray(layer.mean), np.asarray(layer.variance)
    try:
        yield
    finally:
        for layer, mean, variance in kept:
            layer.mean, layer.variance = mean, variance
