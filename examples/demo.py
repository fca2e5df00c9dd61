"""What a trained spiking network is good for, in some minutes: `make demo`."""

import pathlib
import tempfile

import keras
import numpy as np
import skimage.data
import skimage.transform
import sklearn.datasets
import sklearn.linear_model
import sklearn.model_selection

import keras_staa

# So few images of each digit, and so many epochs of them.
EACH, EPOCHS, BATCH = 10, 8, 10
# The 360 held-out digits in equal batches: each function is traced once.
HELD_OUT_BATCH = 120


def photograph():
    """Return the cat, cut to a square and scaled to 32 x 32 pixels in [0, 1]."""
    image = skimage.data.cat()
    side = min(image.shape[:2])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    square = image[top : top + side, left : left + side]
    return skimage.transform.resize(square, (32, 32), anti_aliasing=True).astype("float32")


def digits():
    """Ten handwritten digits of each kind as 32 x 32 RGB images in [0, 1], and 360 others."""
    images, labels = sklearn.datasets.load_digits(return_X_y=True)
    images = (images.reshape(-1, 8, 8) / 16.0).astype("float32")
    split = sklearn.model_selection.train_test_split(
        images,
        labels,
        train_size=EACH * 10,
        test_size=360,
        stratify=labels,
        random_state=0,
    )
    large = [np.stack([skimage.transform.resize(i, (32, 32)) for i in part]) for part in split[:2]]
    rgb = [np.repeat(part[..., None], 3, axis=-1) for part in large]
    flat = [part.reshape(len(part), -1) for part in split[:2]]
    return rgb, flat, split[2:]


def fine_tune(model, x, y):
    schedule = keras.optimizers.schedules.CosineDecay(2e-3, EPOCHS * len(x) // BATCH)
    model.compile(
        keras.optimizers.Adam(schedule),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    model.fit(x, y, batch_size=BATCH, epochs=EPOCHS, verbose=0)


def accuracy(model, x, y):
    results = model.evaluate(x, y, batch_size=HELD_OUT_BATCH, verbose=0, return_dict=True)
    return results["accuracy"]


def firing_rates(model, x):
    """Spikes a neuron and time step, for each stage of the network."""
    neurons = [layer for layer in model.layers if layer.name.endswith("_neuron")]
    spikes = keras.Model(model.input, [layer.output for layer in neurons])
    rates = {}
    for layer, output in zip(
        neurons, spikes.predict(x, batch_size=HELD_OUT_BATCH, verbose=0), strict=True
    ):
        rates.setdefault(layer.name.split("_")[0], []).append(float(np.mean(output)))
    return {stage: float(np.mean(values)) for stage, values in rates.items()}


def main():
    keras.utils.set_random_seed(0)
    print(f"Keras {keras.__version__} on {keras.backend.backend()}")

    print("\n1. A photograph of a cat, classified by the network trained on CIFAR-10")
    model = keras_staa.zoo.load("cifar10")
    names = keras_staa.zoo.describe("cifar10")["class_names"]
    probabilities = model.predict(photograph()[None], verbose=0)[0]
    for index in np.argsort(-probabilities)[:3]:
        print(f"   {names[index]:<12}{probabilities[index]:.3f}")

    (x, x_held), (flat, flat_held), (y, y_held) = digits()
    print(f"\n2. Fine-tuned for {EPOCHS} epochs on {len(x)} handwritten digits, with T = 1")
    trained = keras_staa.zoo.load("cifar10", classes=10, steps=1)
    fine_tune(trained, x, y)
    untrained = keras_staa.zoo.load("cifar10", classes=10, steps=1, weights=False)
    fine_tune(untrained, x, y)
    linear = sklearn.linear_model.LogisticRegression(max_iter=1000).fit(flat, y)
    print(f"   accuracy on the {len(x_held)} held out:")
    print(f"   pretrained spiking network     {accuracy(trained, x_held, y_held):.1%}")
    print(f"   the same from random weights   {accuracy(untrained, x_held, y_held):.1%}")
    print(f"   logistic regression            {linear.score(flat_held, y_held):.1%}")

    print("\n3. Firing rate, spikes a neuron and time step")
    for stage, rate in firing_rates(trained, x_held).items():
        print(f"   {stage:<12}{rate:.3f}")

    print("\n4. Saved as .keras and read again")
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "digits.keras"
        trained.save(path)
        again = keras.saving.load_model(path)
    before, after = (
        m.predict(x_held, batch_size=HELD_OUT_BATCH, verbose=0) for m in (trained, again)
    )
    print(f"   predictions are equal: {np.array_equal(before, after)}")


if __name__ == "__main__":
    main()
