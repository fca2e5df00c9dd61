"""Accuracy of a preset on the test split of its data set.

python examples/evaluate.py cifar10 --data-dir DIR
python examples/evaluate.py nmnist1k --data N-MNIST
"""

import argparse

import keras
import numpy as np
import recordings

import keras_staa


def samples(preset, args):
    """Return what the preset was measured on, as it was read then."""
    training = preset["training"]
    if "test_data" not in training:
        return keras_staa.data.images(preset["data_set"], "test", data_dir=args.data_dir)
    return recordings.described(
        training["test_data"],
        args.data or training["test_data"]["source"],
        shuffle=False,
        normalize=training["normalize"],
        cache_dir=args.cache_dir,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", help="name, alias or folder of a preset")
    parser.add_argument("--data-dir", help="folder with prepared TFDS data sets")
    parser.add_argument("--data", help="folder of event recordings")
    parser.add_argument("--cache-dir", help="folder for cached frames")
    args = parser.parse_args()
    preset = keras_staa.zoo.describe(args.model)
    model = keras_staa.zoo.load(args.model)
    test = samples(preset, args)
    guesses = np.argmax(model.predict(test, verbose=0), axis=-1)
    labels = np.concatenate([np.asarray(label) for _, label in test])
    unit = "test samples" if len(model.input_shape) == 5 else "test images"
    print(
        f"{preset['name']} on {keras.backend.backend()}: "
        f"{np.mean(guesses == labels):.4f} of {len(labels)} {unit}"
    )


if __name__ == "__main__":
    main()
