"""A training step of a spiking network over one of the ReLU network of the same shape.

    KERAS_BACKEND=jax python benchmarks/step.py

The limit of a spiking network on dense hardware is the same network with ReLU on batch * T images,
since that is how many images its convolutions see. The steps of the networks take turns, so that
what else the machine does meets all of them alike; the medians are compared.
"""

import argparse
import statistics
import time

import keras
import numpy as np

import keras_staa


def networks(args):
    """Name, batch size and model of each competitor."""
    common = {"width": args.width, "classifier_activation": None}
    create = keras_staa.STAAResNet19
    relu = keras.layers.ReLU()
    images = args.batch_size * args.steps
    return [
        ("ReLU", images, create(steps=1, attention=False, neuron=relu, **common)),
        ("LIF", args.batch_size, create(steps=args.steps, attention=False, **common)),
        ("STAA and LIF", args.batch_size, create(steps=args.steps, **common)),
    ]


def step(model, batch):
    """One training step on random images, as a function without arguments."""
    rng = np.random.default_rng(0)
    x = keras.ops.convert_to_tensor(rng.random((batch, 32, 32, 3), "float32"))
    y = keras.ops.convert_to_tensor(rng.integers(0, 10, batch))
    model.compile(
        keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    return lambda: model.train_on_batch(x, y)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--steps", type=int, default=4, help="time steps T")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--repeat", type=int, default=10)
    args = parser.parse_args()
    competitors = [(name, step(model, batch)) for name, batch, model in networks(args)]
    for _, run in competitors:
        for _ in range(2):
            run()
    seconds = {name: [] for name, _ in competitors}
    for _ in range(args.repeat):
        for name, run in competitors:
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    base = statistics.median(seconds["ReLU"])
    print(
        f"{keras.backend.backend()}: training step of STAAResNet19, width {args.width}, "
        f"T={args.steps}, batch {args.batch_size}, over ReLU at batch "
        f"{args.batch_size * args.steps}, medians of {args.repeat}"
    )
    for name, values in seconds.items():
        median = statistics.median(values)
        print(f"  {name:<14}{median:7.3f} s   {median / base:5.2f}")


if __name__ == "__main__":
    main()
