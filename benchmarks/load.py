"""Seconds to import Keras, what keras_staa adds, and to load the network of the README.

KERAS_BACKEND=jax python benchmarks/load.py
"""

import time

started = time.perf_counter()
import keras  # noqa: E402

with_keras = time.perf_counter()
import keras_staa  # noqa: E402

imported = time.perf_counter()
keras_staa.zoo.load("cifar10")
loaded = time.perf_counter()

print("| backend | import keras | keras_staa adds | zoo.load |\n|" + " --- |" * 4)
seconds = (with_keras - started, imported - with_keras, loaded - imported)
print(f"| {keras.backend.backend()} | {' | '.join(f'{s:.2f}' for s in seconds)} |")
