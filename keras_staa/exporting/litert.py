"""LiteRT, formerly TensorFlow Lite: phones and microcontrollers."""

SUFFIX = ".tflite"
BACKENDS = ("tensorflow",)
PACKAGES = {"tensorflow": ("ai-edge-litert",)}
DTYPES = ("float32", "float16", "int8")


def write(model, path, dtype, samples):
    import tensorflow as tf

    options = {}
    if dtype != "float32":
        options["optimizations"] = [tf.lite.Optimize.DEFAULT]
    if dtype == "float16":
        options["target_spec"] = {"supported_types": [tf.float16]}
    if dtype == "int8":
        options["representative_dataset"] = lambda: ([x[None]] for x in samples)
    model.export(path, format="litert", verbose=False, **options)


def runner(path):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    (given,) = interpreter.get_input_details()

    def run(x):
        interpreter.resize_tensor_input(given["index"], x.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(given["index"], x)
        interpreter.invoke()
        return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])

    return run
