"""OpenVINO, by way of ONNX, whose file OpenVINO reads with a free batch."""

from keras_staa.exporting import onnx

SUFFIX = ".xml"
BACKENDS = onnx.BACKENDS
PACKAGES = {backend: (*names, "openvino") for backend, names in onnx.PACKAGES.items()}
DTYPES = ("float32",)


def write(model, path, dtype, samples):
    import openvino

    between = path.with_suffix(".onnx")
    onnx.write(model, between, dtype, samples)
    openvino.save_model(openvino.convert_model(between), path, compress_to_fp16=False)
    between.unlink()


def runner(path):
    import openvino

    # Some processors would calculate in bfloat16, others in float32.
    compiled = openvino.compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda x: compiled(x)[0]
