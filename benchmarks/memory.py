"""Memory of a training step, by XLA's analysis, over the ReLU network of the same shape.

    KERAS_BACKEND=jax python benchmarks/memory.py

Nothing is run: the step is compiled and the compiler says what it allocates besides the weights,
the optimizer's state and the batch.
"""

import argparse

import jax
import keras

import keras_staa


def allocated(model, batch):
    """Bytes of the temporary buffers of one training step."""
    model.compile(
        keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    model.optimizer.build(model.trainable_variables)
    x = jax.ShapeDtypeStruct((batch, 32, 32, 3), "float32")
    y = jax.ShapeDtypeStruct((batch,), "int32")
    trainable = [v.value for v in model.trainable_variables]
    fixed = [v.value for v in model.non_trainable_variables]
    optimizer = [v.value for v in model.optimizer.variables]

    def loss(trainable, fixed, x, y):
        outputs, fixed = model.stateless_call(trainable, fixed, x, training=True)
        return model.loss(y, outputs), fixed

    def step(trainable, fixed, optimizer, x, y):
        (value, fixed), gradients = jax.value_and_grad(loss, has_aux=True)(trainable, fixed, x, y)
        trainable, optimizer = model.optimizer.stateless_apply(optimizer, gradients, trainable)
        return value, trainable, fixed, optimizer

    lowered = jax.jit(step, donate_argnums=(0, 1, 2)).lower(trainable, fixed, optimizer, x, y)
    return lowered.compile().memory_analysis().temp_size_in_bytes


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--images", type=int, default=128, help="batch * T")
    parser.add_argument("--steps", type=int, nargs="+", default=[4, 16], help="time steps T")
    args = parser.parse_args()
    create = keras_staa.STAAResNet19
    common = {"width": args.width, "classifier_activation": None}
    relu = create(steps=1, attention=False, neuron=keras.layers.ReLU(), **common)
    base = allocated(relu, args.images)
    print("| T | batch | ReLU, MB | LIF | STAA |\n|" + " --- |" * 5, flush=True)
    for steps in args.steps:
        batch = args.images // steps
        ratios = [
            allocated(create(steps=steps, attention=attention, **common), batch) / base
            for attention in (False, True)
        ]
        cells = " | ".join(f"{ratio:.2f}" for ratio in ratios)
        print(f"| {steps} | {batch} | {base / 1e6:.0f} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
