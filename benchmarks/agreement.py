"""Whether the backends say the same of a preset: classes and probabilities on test images.

python benchmarks/agreement.py cifar10 --data-dir DIR
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

BACKENDS = ("tensorflow", "jax", "torch")
PREDICT = """
import sys
import numpy as np
import keras_staa

model, images, out = sys.argv[1:]
np.save(out, keras_staa.zoo.load(model).predict(np.load(images), batch_size=64, verbose=0))
"""


def probabilities(model, images, backends=BACKENDS):
    """Return what a preset says on each backend, each in a process of its own.

    Args:
        model: string, name, alias or folder of a preset.
        images: float32 array (count, height, width, channels) in [0, 1].
        backends: names of backends.

    Returns:
        A dictionary from backend to float32 array (count, classes).
    """
    said = {}
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "images.npy"
        np.save(path, images)
        for backend in backends:
            out = pathlib.Path(folder) / f"{backend}.npy"
            environment = {**os.environ, "KERAS_BACKEND": backend}
            command = [sys.executable, "-c", PREDICT, model, path, out]
            subprocess.run(command, env=environment, check=True, capture_output=True)
            said[backend] = np.load(out)
    return said


def compare(said):
    """How many images get different classes, and the differences in probability.

    Args:
        said: what `probabilities` returns.

    Returns:
        A dictionary: `images`, `differ` (images on which not all backends give one class), `median`
        and `largest` difference of any class's probability between any two backends.
    """
    values = np.stack(list(said.values()))
    classes = values.argmax(-1)
    spread = values.max(0) - values.min(0)
    return {
        "images": classes.shape[1],
        "differ": int((classes != classes[0]).any(0).sum()),
        "median": float(np.median(spread)),
        "largest": float(spread.max()),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", help="name, alias or folder of a preset")
    parser.add_argument("--data-dir", help="folder with prepared TFDS data sets")
    parser.add_argument("--count", type=int, default=256, help="how many test images")
    args = parser.parse_args()

    import keras_staa

    data_set = keras_staa.zoo.describe(args.model)["data_set"]
    batch = keras_staa.data.images(
        data_set, f"test[:{args.count}]", data_dir=args.data_dir, batch_size=args.count
    )
    (images, _) = next(iter(batch))
    result = compare(probabilities(args.model, images.numpy()))
    print(
        f"{args.model} on {', '.join(BACKENDS)}: {result['differ']} of {result['images']} images "
        f"differ in class; difference in probability: median {result['median']:.1e}, "
        f"largest {result['largest']:.1e}"
    )


if __name__ == "__main__":
    main()
