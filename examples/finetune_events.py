"""From a folder of event recordings to a fine-tuned network and a picture of what it sees.

    python examples/finetune_events.py FOLDER --out finetuned

FOLDER has one folder a class, or `Train` and `Test` with these in them. Without it, shapes that
move to one of four sides are recorded first. The result is the accuracy on the held-out recordings,
and a picture of a held-out recording of each class: its events, its frames, and what the network
says of it.
"""

import argparse
import pathlib
import tempfile

import keras
import numpy as np
from matplotlib.figure import Figure

import keras_staa
from keras_staa.data import formats
from keras_staa.data.event.sources import find_source

WEIGHTS = "nmnist1k"
# Of frames for random weights, and the side of the sensor that records the moving shapes.
STEPS, SIDE = 8, 34
# (rows, columns) a pixel of time.
DIRECTIONS = {"down": (1, 0), "left": (0, -1), "right": (0, 1), "up": (-1, 0)}
# The colours of OFF and ON events, also where they are told apart badly.
OFF, ON = "#c2410c", "#1d4ed8"


def moving_shape(direction, rng):
    """Make events of a disc or a square that crosses a sensor of 34 x 34, and noise."""
    y, x = np.mgrid[:SIDE, :SIDE]
    half, square = rng.uniform(4, 8), rng.random() < 0.5
    place, way = rng.uniform(13, 20, 2), np.array(DIRECTIONS[direction])
    start, speed = rng.uniform(-9, -6), rng.uniform(12, 18)
    before, events = None, []
    for moment in range(100):
        centre = place + way * (start + speed * moment / 100)
        away = np.abs(y - centre[0]), np.abs(x - centre[1])
        covered = (np.maximum(*away) if square else np.hypot(*away)) < half
        if before is not None:
            for polarity, changed in enumerate((before & ~covered, covered & ~before)):
                rows, columns = np.nonzero(changed)
                t = 3000 * moment + rng.integers(3000, size=len(rows))
                events += zip(columns, rows, t, [polarity] * len(rows), strict=True)
        before = covered
    noise = np.stack([rng.integers(most, size=60) for most in (SIDE, SIDE, 300_000, 2)], axis=1)
    made = np.array([*events, *map(tuple, noise)], formats.DTYPE)
    return made[np.argsort(made["t"], kind="stable")]


def record(folder, each, seed):
    """Write recordings of moving shapes, half of them as .npy and half as .bin of N-MNIST."""
    rng = np.random.default_rng(seed)
    for direction in DIRECTIONS:
        (folder / direction).mkdir(parents=True)
        for index in range(each):
            made, path = moving_shape(direction, rng), folder / direction / f"{index}"
            if index % 2:
                np.save(path.with_suffix(".npy"), made)
                continue
            x, y, t, p = (made[name].astype(int) for name in "xytp")
            rows = np.stack([x, y, p << 7 | t >> 16, t >> 8 & 255, t & 255], axis=1)
            path.with_suffix(".bin").write_bytes(rows.astype(np.uint8).tobytes())


def splits(folder, held_out):
    """Return the names of the part to train on and of the part held out."""
    found = find_source(folder, None).splits
    if "train" in found and "test" in found:
        return "train", "test"
    return f"train[{held_out}%:]", f"train[:{held_out}%]"


def network(weights, shape, classes, width):
    """Build a network for frames; a preset gives all weights but a read-out of other classes."""
    if weights is None:
        return keras_staa.STAAVGG(input_shape=shape, classes=classes, width=width)
    factory = getattr(keras_staa, keras_staa.zoo.describe(weights)["architecture"])
    return factory(weights=weights, input_shape=shape, classes=classes)


def frames_of(weights, steps, size):
    """Return the steps of the frames and how they are made: as given, or as for the preset."""
    normalize = False
    if weights is not None:
        preset = keras_staa.zoo.describe(weights)
        trained = preset["arguments"]["input_shape"]
        steps, size = steps or trained[0], size or tuple(trained[1:3])
        normalize = preset["training"].get("normalize", False)
    return steps or STEPS, {"size": size, "normalize": normalize}


def fine_tune(model, train, epochs, rate):
    schedule = keras.optimizers.schedules.CosineDecay(rate, epochs * len(train))
    model.compile(
        keras.optimizers.Adam(schedule), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    # The data set shuffles its recordings itself.
    model.fit(train, epochs=epochs, shuffle=False, verbose=2)


def draw(path, folder, model, test, most=4):
    """Return a row for the first held-out recording of each class, of `most` classes at most."""
    frames, labels = (np.concatenate(parts) for parts in zip(*test, strict=True))
    chosen = [int(np.argmax(labels == label)) for label in np.unique(labels)[:most]]
    probabilities = model.predict(frames[chosen], verbose=0)
    steps = frames.shape[1]
    figure = Figure(figsize=(6 + 1.1 * steps, 2.4 * len(chosen)), layout="constrained")
    grid = figure.add_gridspec(len(chosen), steps + 4)
    brightest = np.percentile(frames[chosen][frames[chosen] > 0], 95)
    for row, index in enumerate(chosen):
        name = test.cache.names[test.cache.recordings[index]]
        events = formats.read(folder / name, sensor_size=test.sensor_size).events
        cloud = figure.add_subplot(grid[row, :2], projection="3d")
        for polarity, colour in enumerate((OFF, ON)):
            some = events[events["p"] == polarity][:4000]
            cloud.scatter(some["t"] / 1e3, some["x"], -some["y"].astype(int), s=1, c=colour)
        cloud.set(xlabel="ms", xticks=[], yticks=[], zticks=[], title=name)
        for step in range(steps):
            axes = figure.add_subplot(grid[row, 2 + step], xticks=[], yticks=[])
            off, on = np.moveaxis(np.minimum(frames[index, step] / brightest, 1), -1, 0)
            # White where there is nothing, red where OFF and blue where ON.
            axes.imshow(np.stack([1 - on, 1 - np.maximum(on, off), 1 - off], axis=-1))
            axes.set_title(f"step {step + 1}", fontsize=8)
        bars = figure.add_subplot(grid[row, -2:])
        shown = np.argsort(-probabilities[row])[:10][::-1]
        truth = [k == labels[index] for k in shown]
        bars.barh(
            np.arange(len(shown)),
            probabilities[row][shown],
            color=["#15803d" if true else "#9ca3af" for true in truth],
        )
        marked = [
            f"{test.classes[k]} (true)" if true else test.classes[k]
            for k, true in zip(shown, truth, strict=True)
        ]
        bars.set_yticks(np.arange(len(shown)), marked)
        bars.set(xlim=(0, 1), title="probability")
    keras_staa.plots.write(figure, path)


def run(folder, args):
    steps, options = frames_of(args.weights, args.steps, args.size)
    options |= {"batch_size": args.batch_size, "cache_dir": args.cache_dir}
    first, second = splits(folder, args.held_out)
    train = keras_staa.data.events(
        folder, steps, split=first, augment=args.augment, seed=args.seed, **options
    )
    test = keras_staa.data.events(folder, steps, split=second, **options, shuffle=False)
    print(f"{len(train.cache.names)} recordings to train on, {len(test.cache.names)} held out")
    model = network(args.weights, train.cache.shape, len(train.classes), args.width)
    fine_tune(model, train, args.epochs, args.learning_rate)
    result = model.evaluate(test, verbose=0, return_dict=True)
    print(f"accuracy on the {len(test.cache.labels)} held-out samples: {result['accuracy']:.1%}")
    args.out.mkdir(parents=True, exist_ok=True)
    draw(args.out / "events.png", folder, model, test)
    print(f"picture: {args.out / 'events.png'}")
    return result["accuracy"]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "folder",
        nargs="?",
        type=pathlib.Path,
        help="recordings; by default simulated moving shapes",
    )
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("finetuned"))
    parser.add_argument(
        "--weights",
        default=WEIGHTS,
        type=lambda name: None if name == "random" else name,
        help="a preset for frames, see keras-staa list, or random",
    )
    parser.add_argument(
        "--steps", type=int, help=f"time steps; by default those of the preset, or {STEPS}"
    )
    parser.add_argument(
        "--size", type=int, help="height and width of the frames; by default those of the preset"
    )
    parser.add_argument(
        "--width", type=int, default=8, help="width of a network with random weights"
    )
    parser.add_argument(
        "--held-out",
        type=int,
        default=25,
        help="percentage of held-out recordings if there is no Test folder",
    )
    parser.add_argument("--augment", choices=("shift", "standard", "strong"))
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--cache-dir", help="folder for cached frames")
    parser.add_argument("--recordings", type=int, default=40, help="simulated recordings per class")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(arguments)
    keras.utils.set_random_seed(args.seed)
    if args.folder is not None:
        return run(args.folder, args)
    with tempfile.TemporaryDirectory() as folder:
        made = pathlib.Path(folder) / "moving shapes"
        record(made, args.recordings, args.seed)
        args.cache_dir = args.cache_dir or folder
        return run(made, args)


if __name__ == "__main__":
    main()
