"""Networks as files for other runtimes.

A format is a module here with `SUFFIX`, `BACKENDS`, `PACKAGES`, `DTYPES`, `write(model, path,
dtype, samples)` and `runner(path)`, which returns a function of an array, and an entry in
`FORMATS`. It imports Keras and the packages of the format only where it uses them.
"""

from keras_staa.exporting import litert, onnx, openvino, saved_model, stablehlo, torch_program

FORMATS = {
    "tf_saved_model": saved_model,
    "onnx": onnx,
    "litert": litert,
    "openvino": openvino,
    "stablehlo": stablehlo,
    "torch": torch_program,
}
