"""Building and reading a cache of event frames, against tonic's `DiskCachedDataset`.

    python benchmarks/events.py FOLDER

FOLDER holds N-MNIST as `Train/<digit>/*.bin`. All ways read the same recordings into the same
T = 10 frames, in turns, each time into an empty cache; the medians are compared.
"""

import argparse
import pathlib
import statistics
import tempfile
import time

import numpy as np
import tonic

from keras_staa import data

STEPS, BATCH = 10, 128


class Recordings:
    """N-MNIST files as tonic reads them."""

    def __init__(self, folder, transform):
        self.paths = sorted(pathlib.Path(folder).glob("Train/*/*.bin"))
        self.transform = transform

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        path = self.paths[index]
        events = tonic.io.read_mnist_file(path, dtype=tonic.datasets.NMNIST.dtype)
        return self.transform(events), int(path.parent.name)


def with_tonic(folder, cache):
    size = tonic.datasets.NMNIST.sensor_size
    frames = tonic.transforms.ToFrame(sensor_size=size, n_time_bins=STEPS)
    cached = tonic.DiskCachedDataset(Recordings(folder, frames), cache_path=str(cache))
    for index in range(len(cached)):
        cached[index]
    return cached


def with_keras_staa(folder, cache, processes, augment=None):
    options = {"cache_dir": cache, "processes": processes, "augment": augment, "verbose": False}
    return data.events(folder, STEPS, batch_size=BATCH, **options)


WAYS = {
    "tonic DiskCachedDataset, ToFrame": with_tonic,
    "keras_staa, 1 process": lambda folder, cache: with_keras_staa(folder, cache, 1),
    "keras_staa, 2 processes": lambda folder, cache: with_keras_staa(folder, cache, 2),
}


def read_tonic(cached, rng):
    order = rng.permutation(len(cached))
    for start in range(0, len(order), BATCH):
        samples = [cached[index][0] for index in order[start : start + BATCH]]
        np.stack(samples).astype("float32")


def read_frames(dataset, rng):
    for index in range(len(dataset)):
        dataset[index]
    dataset.on_epoch_end()


def rate(count, work, *arguments):
    start = time.perf_counter()
    result = work(*arguments)
    return result, count / (time.perf_counter() - start)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    count = len(Recordings(arguments.folder, None))
    rng = np.random.default_rng(0)
    built, read = {name: [] for name in WAYS}, {name: [] for name in WAYS}
    from_disk, augmented = [], []
    for _ in range(arguments.rounds):
        for name, way in WAYS.items():
            with tempfile.TemporaryDirectory() as cache:
                dataset, speed = rate(count, way, arguments.folder, pathlib.Path(cache))
                built[name].append(speed)
                reader = read_tonic if way is with_tonic else read_frames
                read[name].append(rate(count, reader, dataset, rng)[1])
                if way is not with_tonic:
                    # As of a data set too large for memory.
                    dataset._counts = None
                    from_disk.append(rate(count, read_frames, dataset, rng)[1])
                    strong = with_keras_staa(arguments.folder, cache, 1, augment="strong")
                    augmented.append(rate(count, read_frames, strong, rng)[1])
    middle = {name: statistics.median(speeds) for name, speeds in built.items()}
    base = next(iter(middle.values()))
    print(f"{count} recordings, T = {STEPS}, batches of {BATCH}, {arguments.rounds} rounds\n")
    print("| way | recordings a second, built | over tonic | samples a second, shuffled |")
    print("| --- | --- | --- | --- |")
    for name in WAYS:
        speeds = f"{statistics.median(read[name]):,.0f}"
        print(f"| {name} | {middle[name]:,.0f} | {middle[name] / base:.1f} | {speeds} |")
    print(f"| keras_staa, read from the file | | | {statistics.median(from_disk):,.0f} |")
    print(f"| keras_staa, augment='strong' | | | {statistics.median(augmented):,.0f} |")


if __name__ == "__main__":
    main()
