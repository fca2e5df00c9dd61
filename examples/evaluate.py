"""Accuracy of a preset on the test images of its data set.

python examples/evaluate.py cifar10 --data-dir DIR
"""

import argparse

import keras
import numpy as np

import keras_staa


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", help="name, alias or folder of a preset")
    parser.add_argument("--data-dir", help="folder with prepared TFDS data sets")
    args = parser.parse_args()
    preset = keras_staa.zoo.describe(args.model)
    model = keras_staa.zoo.load(args.model)
    test = keras_staa.data.images(preset["data_set"], "test", data_dir=args.data_dir)
    guesses = np.argmax(model.predict(test, verbose=0), axis=-1)
    labels = np.concatenate([np.asarray(label) for _, label in test])
    print(
        f"{preset['name']} on {keras.backend.backend()}: "
        f"{np.mean(guesses == labels):.4f} of {len(labels)} test images"
    )


if __name__ == "__main__":
    main()
