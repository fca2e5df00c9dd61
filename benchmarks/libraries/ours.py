"""keras-staa on the backend of this process."""

import keras
import numpy as np

import keras_staa

DECAY, SLOPE = 0.25, 2.0
# By backend, what is measured and whether `keras_staa.jit_compile` is called.
VARIANTS = {
    "tensorflow": {"keras-staa, TensorFlow, jit_compile": True},
    "jax": {"keras-staa, JAX": False},
    "torch": {"keras-staa, PyTorch": False, "keras-staa, PyTorch, jit_compile": True},
}


def network(width=32, steps=4, jit=False, rate=0.01, momentum=0.9, attention=False, remat=False):
    """Return the STAAResNet19, without attention unless asked for, compiled for training."""
    neuron = {"decay": DECAY, "surrogate": keras_staa.surrogates.Arctan(SLOPE)}
    model = keras_staa.STAAResNet19(
        width=width,
        steps=steps,
        attention=attention,
        remat=remat,
        classifier_activation=None,
        neuron=neuron,
    )
    if jit:
        keras_staa.jit_compile(model)
    model.compile(
        keras.optimizers.SGD(rate, momentum=momentum, nesterov=True),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    return model


def weights(model):
    """Return the arrays of a model by the last two parts of their paths."""
    return {
        _name(v): keras.ops.convert_to_numpy(v) for v in model.variables if "seed" not in v.path
    }


def load(model, arrays):
    for variable in model.variables:
        variable.assign(arrays[_name(variable)])


def first_gradient(model, x, y):
    """Return the gradient of the loss by the first convolution's kernel, in training."""
    kernel = next(v for v in model.trainable_variables if _name(v) == "stem_conv/kernel")
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        fixed = [v.value for v in model.non_trainable_variables]
        others = [v.value for v in model.trainable_variables]
        index = [v is kernel for v in model.trainable_variables].index(True)

        def loss(value):
            trainable = [*others[:index], value, *others[index + 1 :]]
            return model.loss(y, model.stateless_call(trainable, fixed, x, training=True)[0])

        return np.asarray(jax.jit(jax.grad(loss))(kernel.value))
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            loss = model.loss(y, model(x, training=True))
        return tape.gradient(loss, kernel.value).numpy()
    import torch

    loss = model.loss(keras.ops.convert_to_tensor(y), model(x, training=True))
    return torch.autograd.grad(loss, kernel.value)[0].numpy()


def scattered(arrays, seed=0):
    """Return it with batch normalizations that are not at their start, so that none is hidden."""
    rng = np.random.default_rng(seed)
    ranges = {
        "gamma": (0.8, 1.2),
        "beta": (0.0, 0.6),
        "moving_mean": (-0.1, 0.1),
        "moving_variance": (0.1, 0.4),
    }
    found = {}
    for name, array in arrays.items():
        low_high = ranges.get(name.split("/")[-1])
        found[name] = rng.uniform(*low_high, array.shape).astype("float32") if low_high else array
    return found


def _name(variable):
    return "/".join(variable.path.split("/")[-2:])


def layer(x, kernel, decay, slope, jit=True):
    """Return the single-layer benchmark, as in `libraries/layer.py`."""
    neuron = keras_staa.layers.LIF(decay=decay, surrogate=keras_staa.surrogates.Arctan(slope))
    model = keras.Sequential([keras.layers.Dense(kernel.shape[1], use_bias=False), neuron])
    x = keras.ops.convert_to_tensor(np.ascontiguousarray(x.swapaxes(0, 1)))
    model.build(x.shape)
    model.layers[0].kernel.assign(kernel)
    if jit:
        keras_staa.jit_compile(model)
    step = _STEPS[keras.backend.backend()](model)
    return lambda: step(x)


def _torch_step(model):
    import torch

    def step(x):
        spikes = model(x)
        (gradient,) = torch.autograd.grad(spikes.sum(), model.layers[0].kernel.value)
        return spikes.detach(), gradient

    return step


def _jax_step(model):
    import jax

    @jax.jit
    def compiled(kernel, x):
        def loss(kernel):
            spikes = model.stateless_call([kernel], [], x)[0]
            return spikes.sum(), spikes

        gradient, spikes = jax.grad(loss, has_aux=True)(kernel)
        return spikes, gradient

    return lambda x: jax.block_until_ready(compiled(model.layers[0].kernel.value, x))


def _tensorflow_step(model):
    import tensorflow as tf

    @tf.function
    def compiled(x):
        kernel = model.layers[0].kernel.value
        with tf.GradientTape() as tape:
            spikes = model(x)
            total = tf.reduce_sum(spikes)
        return spikes, tape.gradient(total, kernel)

    def step(x):
        spikes, gradient = compiled(x)
        # Reading a value waits for it.
        gradient[0, 0].numpy()
        return spikes, gradient

    return step


_STEPS = {"jax": _jax_step, "tensorflow": _tensorflow_step, "torch": _torch_step}
