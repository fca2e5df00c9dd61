"""Memory of a training step, by XLA's analysis, over the ReLU network of the same shape.

    KERAS_BACKEND=jax python benchmarks/memory.py

Nothing is run: the step is compiled and the compiler says what it allocates besides the weights,
the optimizer's state and the batch.
"""

import argparse

import jax
from limit import Point, network


def allocated(model, batch):
    """Bytes of the temporary buffers of one training step."""
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
    base = allocated(*network("ReLU", Point(width=args.width, images=args.images)))
    print("| T | batch | ReLU, MB | LIF | STAA |\n|" + " --- |" * 5, flush=True)
    for steps in args.steps:
        point = Point(width=args.width, steps=steps, images=args.images)
        ratios = [allocated(*network(kind, point)) / base for kind in ("LIF", "STAA")]
        cells = " | ".join(f"{ratio:.2f}" for ratio in ratios)
        print(f"| {steps} | {args.images // steps} | {base / 1e6:.0f} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
