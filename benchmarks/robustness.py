"""Accuracy of presets on corrupted images, their calibration, and what bfloat16 changes.

    KERAS_BACKEND=torch python benchmarks/robustness.py NAMES --npz cifar10.npz --images 1000

Every preset gets the first test images of the file as they are, and with one corruption at three
strengths. Values are clipped to [0, 1], and the noise is the same for all presets:

- noise: Gaussian, of this deviation;
- blur: Gaussian, of this deviation in pixels;
- contrast: differences from the mean color of the image times this factor;
- brightness: this much is added;
- JPEG: a file of Pillow's at this quality.

"Calibration error" is the expected calibration error of Guo et al. (2017,
https://arxiv.org/abs/1706.04599), on the images as they are. They are sorted into 15 bins of equal
width by the largest probability, and it is the mean over all images of the distance between
accuracy and mean probability of their bin. The last two rows are the accuracy under the policy
`mixed_bfloat16`, and the number of images that it gives another class.
"""

import argparse
import io

import numpy as np
import scipy.ndimage
from PIL import Image

import keras_staa
from keras_staa import presets

BINS = 15


def noise(images, deviation):
    return images + np.random.default_rng(0).normal(0.0, deviation, images.shape)


def blur(images, deviation):
    return scipy.ndimage.gaussian_filter(images, (0, deviation, deviation, 0))


def contrast(images, factor):
    mean = images.mean(axis=(1, 2), keepdims=True)
    return mean + factor * (images - mean)


def brightness(images, added):
    return images + added


def jpeg(images, quality):
    found = []
    for image in np.round(255 * images).astype("uint8"):
        file = io.BytesIO()
        # Pillow takes images of one channel without the axis.
        Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(
            file, "JPEG", quality=quality
        )
        found.append(np.asarray(Image.open(file)).reshape(image.shape))
    return np.stack(found) / 255


CORRUPTIONS = {
    "noise": (noise, (0.02, 0.04, 0.08)),
    "blur": (blur, (0.5, 1.0, 1.5)),
    "contrast": (contrast, (0.7, 0.5, 0.3)),
    "brightness": (brightness, (0.1, 0.2, 0.3)),
    "JPEG": (jpeg, (75, 50, 25)),
}


def corrupted(images, name, strength):
    """Return images (N, H, W, C) in [0, 1] with a corruption, float32."""
    return np.clip(CORRUPTIONS[name][0](images, strength), 0, 1).astype("float32")


def calibration_error(probabilities, labels, bins=BINS):
    """Return the expected calibration error of probabilities (N, classes), in [0, 1]."""
    largest = probabilities.max(axis=-1).astype("float64")
    right = probabilities.argmax(axis=-1) == labels
    # The edges of a bin belong to it on the right.
    place = np.clip(np.ceil(largest * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(place, right - largest, bins)
    return np.abs(gaps).sum() / len(labels)


def measure(name, images, labels, batch_size):
    """Return what is measured of a preset: a dictionary from the names of rows to text."""

    def probabilities(images, **more):
        model = keras_staa.zoo.load(
            name, step_logits=False, classifier_activation="softmax", **more
        )
        return model.predict(images, batch_size=batch_size, verbose=0)

    def accuracy(images):
        return f"{np.mean(probabilities(images).argmax(-1) == labels):.2%}"

    plain = probabilities(images)
    found = {"as they are": f"{np.mean(plain.argmax(-1) == labels):.2%}"}
    for kind, (_, strengths) in CORRUPTIONS.items():
        for strength in strengths:
            found[f"{kind} {strength}"] = accuracy(corrupted(images, kind, strength))
    found["calibration error"] = f"{calibration_error(plain, labels):.4f}"
    half = probabilities(images, dtype="mixed_bfloat16").argmax(-1)
    found["in mixed_bfloat16"] = f"{np.mean(half == labels):.2%}"
    changed = np.sum(half != plain.argmax(-1))
    found["another class in mixed_bfloat16"] = f"{changed} of {len(images)}"
    return found


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("presets", nargs="+", help="names or folders of presets for these classes")
    parser.add_argument("--npz", required=True, help="file with uint8 x_test (N, H, W, C), y_test")
    parser.add_argument("--images", type=int, default=1000, help="the first so many are measured")
    parser.add_argument("--batch-size", type=int, default=100)
    args = parser.parse_args(arguments)
    with np.load(args.npz) as file:
        images = file["x_test"][: args.images].astype("float32") / np.float32(255)
        labels = file["y_test"].ravel()[: args.images]
    rows = {}
    for name in args.presets:
        for row, value in measure(name, images, labels, args.batch_size).items():
            rows.setdefault(row, []).append(value)
    names = [f"`{presets.open_preset(name).name}`" for name in args.presets]
    print(f"{len(images)} test images\n")
    for cells in (["images", *names], ["---"] * (1 + len(names))):
        print("| " + " | ".join(cells) + " |")
    for row, values in rows.items():
        print("| " + " | ".join([row, *values]) + " |")


if __name__ == "__main__":
    main()
