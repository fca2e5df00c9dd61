"""TensorFlow's SavedModel: TensorFlow Serving, and what converts from it."""

SUFFIX = ""
BACKENDS = ("tensorflow", "jax")
PACKAGES = {"tensorflow": (), "jax": ("tensorflow",)}
DTYPES = ("float32",)


def write(model, path, dtype, samples):
    model.export(path, format="tf_saved_model", verbose=False)


def runner(path):
    import tensorflow as tf

    loaded = tf.saved_model.load(path)
    return lambda x: loaded.serve(tf.constant(x)).numpy()
