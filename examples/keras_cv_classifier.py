"""A classifier of keras-cv on a pretrained spiking backbone, with augmentation of keras-cv.

    pip install keras-cv
    python examples/keras_cv_classifier.py --data-dir DIR --epochs 2

Fine-tunes `keras_cv.models.ImageClassifier` on a part of CIFAR-100, saves it as a `.keras` file,
reads it again, and prints the accuracy of both on the test images.
"""

import argparse
import pathlib
import tempfile

import keras
import keras_cv

import keras_staa


def classifier(preset, classes):
    """Return keras-cv's classifier on features (B, h, w, channels): the mean over time."""
    backbone = keras_staa.zoo.load(preset, include_top=False, pooling="steps")
    return keras_cv.models.ImageClassifier(backbone, classes)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="cifar100", help="data set, folder or .npz file")
    parser.add_argument("--data-dir", help="folder with the data sets")
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--preset", default="compact_w72_t1.cifar10")
    parser.add_argument("--images", type=int, default=5000, help="for the training")
    parser.add_argument("--test-images", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=50)
    args = parser.parse_args()
    augment = [
        keras_cv.layers.RandAugment(value_range=(0, 1), magnitude=0.2),
        keras_cv.layers.CutMix(),
    ]
    options = {"data_dir": args.data_dir, "batch_size": args.batch_size, "one_hot": True}
    train = keras_staa.data.images(
        args.data, f"train[:{args.images}]", augment=augment, drop_remainder=True, **options
    )
    test = keras_staa.data.images(args.data, f"test[:{args.test_images}]", **options)
    model = classifier(args.preset, args.classes)
    schedule = keras.optimizers.schedules.CosineDecay(1e-3, args.epochs * len(train))
    model.compile(
        keras.optimizers.AdamW(schedule), "categorical_crossentropy", metrics=["accuracy"]
    )
    model.fit(train, epochs=args.epochs, verbose=2)
    print(f"accuracy: {model.evaluate(test, verbose=0, return_dict=True)['accuracy']:.4f}")
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "classifier.keras"
        model.save(path)
        again = keras.saving.load_model(path)
    print(f"read again: {again.evaluate(test, verbose=0, return_dict=True)['accuracy']:.4f}")


if __name__ == "__main__":
    main()
