"""An epoch as one program of JAX: shuffling, augmentation, teacher, loss and SGD.

`images` are uint8 (N, H + 2 * PAD, W + 2 * PAD, C), padded by `padded`, and lie with their labels
in the memory of the accelerator.
"""

import jax
import jax.numpy as jnp
import numpy as np
import training

import keras_staa

PAD = 4


def epochs_parser(description, **defaults):
    """Return the arguments of every training by compiled epochs, with the defaults of this one."""
    parser = training.parser(description, batch_size=512, weight_decay=5e-4)
    parser.add_argument("--momentum", type=float, default=0.9)
    parser.add_argument(
        "--shift-rate",
        type=float,
        help="factor of the learning rate of batch normalization's shifts",
    )
    parser.add_argument(
        "--noise",
        type=float,
        default=0.0,
        help="largest deviation of the Gaussian noise that half of the images get",
    )
    triangular = {"class_name": "Triangular", "config": {"width": 2.0}}
    neuron = {"surrogate": triangular, "threshold": 0.5}
    parser.set_defaults(policy="mixed_bfloat16", neuron=neuron, **defaults)
    return parser


def padded(images):
    """Pad uint8 images (N, H, W, C) for the crops, and bring them to the accelerator."""
    sides = (0, 0), (PAD, PAD), (PAD, PAD), (0, 0)
    return jnp.asarray(np.pad(images, sides, mode="reflect"))


def augmented(key, images, share, noise=0.0):
    """Random crops and flips of padded images, a share of them mixed with another of the batch.

    Half of them get noise of a deviation up to `noise` before, if it is not 0.

    Returns images in [0, 1] and the weight of each in its mixture with the one that has its place
    in the reversed batch.
    """
    keys = jax.random.split(key, 4)
    count, size = len(images), images.shape[1] - 2 * PAD
    corners = jax.random.randint(keys[0], (count, 2), 0, 2 * PAD + 1)

    def crop(image, corner):
        return jax.lax.dynamic_slice(image, (*corner, 0), (size, size, image.shape[-1]))

    x = jax.vmap(crop)(images, corners)
    flip = jax.random.bernoulli(keys[1], 0.5, (count, 1, 1, 1))
    x = jnp.where(flip, x[:, :, ::-1], x).astype("float32") / 255
    if noise:
        keep, deviation, normal = jax.random.split(jax.random.fold_in(key, 1), 3)
        deviation = noise * jax.random.uniform(deviation, (count, 1, 1, 1))
        deviation = deviation * jax.random.bernoulli(keep, 0.5, (count, 1, 1, 1))
        x = jnp.clip(x + deviation * jax.random.normal(normal, x.shape), 0, 1)
    weight = jax.random.uniform(keys[2], (count, 1, 1, 1))
    weight = jnp.where(jax.random.bernoulli(keys[3], share, weight.shape), weight, 1.0)
    return weight * x + (1 - weight) * x[::-1], weight.reshape(-1, 1)


def loss_of(logits, targets, soft, args):
    """Compute the loss of logits (B, T, classes) by the labels and any soft labels."""
    mean = jnp.mean(logits, axis=1)
    smooth = args.label_smoothing
    targets = targets * (1 - smooth) + smooth / targets.shape[-1]
    by_labels = -jnp.mean(jnp.sum(targets * jax.nn.log_softmax(mean), axis=-1))
    if soft is None:
        return by_labels
    by_teacher = keras_staa.losses.Distillation(args.temperature)(soft, logits)
    return (1 - args.teacher_weight) * by_labels + args.teacher_weight * by_teacher


def state_of(model):
    """Weights, their velocities and what else a step changes, as arrays."""
    # Copies, because an epoch's program overwrites the arrays that it is given.
    weights = [jnp.array(v.value) for v in model.trainable_variables]
    rest = [jnp.array(v.value) for v in model.non_trainable_variables]
    return weights, [jnp.zeros_like(w) for w in weights], rest


def assign(model, state):
    """Give a model the weights of a state."""
    for variables, values in (
        (model.trainable_variables, state[0]),
        (model.non_trainable_variables, state[2]),
    ):
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)


def accuracy_of(model, images, labels):
    """Return the share of uint8 images that the mean over the steps classifies correctly."""
    logits = model.predict(images / np.float32(255), batch_size=500, verbose=0)
    return float(np.mean(logits.astype("float32").mean(1).argmax(-1) == labels))


def epoch_of(model, teacher, args):
    """Compile an epoch: `(state, key, rates, images, labels, taught) -> (state, figures)`."""
    variables = model.trainable_variables
    kept = {id(v) for v in keras_staa.layers.undecayed_weights(model)}
    decays = [0.0 if id(v) in kept else args.weight_decay for v in variables]
    factors = [args.shift_rate if v.path.endswith("/beta") else 1.0 for v in variables]
    classes, batch = model.output_shape[-1], args.batch_size

    def forward(weights, rest, images, targets, soft):
        logits, rest = model.stateless_call(weights, rest, images, training=True)
        logits = logits.astype("float32")
        right = jnp.argmax(jnp.mean(logits, axis=1), -1) == jnp.argmax(targets, -1)
        return loss_of(logits, targets, soft, args), (rest, jnp.mean(right.astype("float32")))

    def epoch(state, key, rates, images, labels, taught):
        def step(state, inputs):
            weights, velocities, rest = state
            rate, places, key = inputs
            x, weight = augmented(key, images[places], args.mixed, args.noise)
            targets = jax.nn.one_hot(labels[places], classes)
            targets = weight * targets + (1 - weight) * targets[::-1]
            soft = None
            if teacher is not None:
                soft, _ = teacher.stateless_call(*taught, x, training=False)
                soft = jnp.mean(soft.astype("float32"), axis=1)
            (loss, (rest, right)), gradients = jax.value_and_grad(forward, has_aux=True)(
                weights, rest, x, targets, soft
            )
            after = [], []
            for w, v, g, decay, factor in zip(
                weights, velocities, gradients, decays, factors, strict=True
            ):
                g = g + decay * w
                v = args.momentum * v + g
                after[0].append(w - rate * factor * (g + args.momentum * v))
                after[1].append(v)
            return (*after, rest), (loss, right)

        order, *keys = jax.random.split(key, len(rates) + 1)
        places = jax.random.permutation(order, len(images))[: len(rates) * batch]
        inputs = rates, places.reshape(-1, batch), jnp.stack(keys)
        state, figures = jax.lax.scan(step, state, inputs)
        return state, tuple(jnp.mean(figure) for figure in figures)

    return jax.jit(epoch, donate_argnums=0)


def rates_of(epochs, steps, peak):
    """Return the learning rate of each step: up for a tenth of them, then a cosine down to 0."""
    place = (np.arange(epochs * steps) + 0.5) / (epochs * steps)
    rates = np.where(place < 0.1, place / 0.1, (1 + np.cos(np.pi * (place - 0.1) / 0.9)) / 2)
    return (peak * rates).reshape(epochs, steps).astype("float32")


def lowered(model, teacher, args, data):
    """Trace an epoch, and return the program to compile and the weights of the teacher."""
    taught = None if teacher is None else state_of(teacher)[::2]
    rates = rates_of(1, len(data[0]) // args.batch_size, 1.0)[0]
    run = epoch_of(model, teacher, args)
    return run.lower(state_of(model), jax.random.key(0), rates, *data, taught), taught
