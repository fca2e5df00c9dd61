"""StableHLO, serialized by `jax.export`: whatever runs XLA, on CPU, GPU and TPU."""

SUFFIX = ".stablehlo"
BACKENDS = ("jax",)
PACKAGES = {"jax": ()}
DTYPES = ("float32",)
PLATFORMS = ("cpu", "cuda", "tpu")


def write(model, path, dtype, samples):
    import jax
    from jax import export

    (batch,) = export.symbolic_shape("batch")
    spec = jax.ShapeDtypeStruct((batch, *samples.shape[1:]), "float32")
    weights = (
        [v.value for v in model.trainable_variables],
        [v.value for v in model.non_trainable_variables],
    )

    def call(x):
        return model.stateless_call(*weights, x, training=False)[0]

    path.write_bytes(export.export(jax.jit(call), platforms=PLATFORMS)(spec).serialize())


def runner(path):
    import numpy as np
    from jax import export

    loaded = export.deserialize(bytearray(path.read_bytes()))
    return lambda x: np.asarray(loaded.call(x))
