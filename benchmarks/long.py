"""Long sequences: compilation and step time as the number of time steps T grows.

    KERAS_BACKEND=jax python benchmarks/long.py

The training step of a small STAAResNet18, compiled by XLA on TensorFlow and JAX. Compilation is
the first call minus the median of later ones. The neuron's loop is unrolled up to
`keras_staa.ops.neuron.UNROLLED_STEPS` steps and rolled above, on PyTorch one step at a time.
"""

import argparse
import statistics
import time

import keras
import numpy as np

import keras_staa


def measure(steps, args):
    """Seconds of compilation, and of a training step."""
    shape = (steps, args.side, args.side, 2)
    model = keras_staa.STAAResNet18(input_shape=shape, width=args.width)
    # PyTorch runs operation by operation: Keras compiles nothing there.
    jit = keras.backend.backend() != "torch"
    model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=jit)
    rng = np.random.default_rng(0)
    x = keras.ops.convert_to_tensor(rng.random((args.batch, *shape), "float32"))
    y = keras.ops.convert_to_tensor(rng.integers(0, 10, args.batch))
    times = []
    for _ in range(args.repeats + 1):
        start = time.perf_counter()
        model.train_on_batch(x, y)
        times.append(time.perf_counter() - start)
    step = statistics.median(times[1:])
    return times[0] - step, step


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, nargs="+", default=[8, 16, 32, 64, 128, 256, 512])
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--side", type=int, default=16, help="height and width of a frame")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    print("| backend | T | compilation, s | over the first | step, ms | ms a time step |")
    print("|" + " --- |" * 6, flush=True)
    first = None
    for steps in args.steps:
        compilation, step = measure(steps, args)
        first = first or compilation
        print(
            f"| {keras.backend.backend()} | {steps} | {compilation:.1f} "
            f"| {compilation / first:.2f} | {step * 1e3:.0f} | {step * 1e3 / steps:.2f} |",
            flush=True,
        )
        keras.utils.clear_session()


if __name__ == "__main__":
    main()
