"""Energy of published networks on their test data, and the time of `insight.report`.

    python benchmarks/inside.py cifar10 cifar100 --data-dir DIR
    python benchmarks/inside.py nmnist1k --data FOLDER

DIR has `cifar10.npz` and `cifar100.npz`, or prepared data sets of TensorFlow Datasets. "memory" is
the ratio to the ReLU network with the energy of reading and writing, which `memory=True` adds.
"report" is the time of `report`, with what it compiles, over that of `predict` without.
`--monitor` prints which share of an epoch of training `callbacks.SpikeMonitor` takes instead.
"""

import argparse
import pathlib
import time

import keras
import numpy as np

from keras_staa import callbacks, insight, presets, zoo
from keras_staa.zoo.measuring import some_samples

COLUMNS = (
    "preset",
    "samples",
    "T",
    "firing rate",
    "silent",
    "SOPs, M",
    "MACs, M",
    "energy, mJ",
    "ReLU, mJ",
    "ratio",
    "memory",
    "report",
)


def samples_of(name, args):
    """Return test samples of a preset as one array."""
    preset = presets.open_preset(name)
    source = args.data
    if args.data_dir is not None:
        file = pathlib.Path(args.data_dir) / f"{preset.data_set}.npz"
        source = str(file) if file.is_file() else source
    places = {"data_dir": args.data_dir, "cache_dir": args.cache_dir}
    return some_samples(preset, source, args.samples, **places)[0]


def monitor(name, args):
    """Return the share of an epoch's time that `SpikeMonitor` takes, of epochs of all samples."""
    x, model = samples_of(name, args), zoo.load(name)
    y = np.zeros(len(x), "int32")
    model.compile("sgd", "sparse_categorical_crossentropy")
    watch, spent = callbacks.SpikeMonitor(x[:32]), []
    end = watch.on_epoch_end

    def timed(epoch, logs=None):
        start = time.perf_counter()
        end(epoch, logs)
        spent.append(time.perf_counter() - start)

    watch.on_epoch_end = timed
    times = [time.perf_counter()]
    mark = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: times.append(time.perf_counter()))
    model.fit(x, y, batch_size=50, epochs=4, verbose=0, callbacks=[watch, mark])
    # The first epoch compiles.
    return sum(spent[1:]) / (times[-1] - times[1])


def row(name, args):
    x = samples_of(name, args)
    model = zoo.load(name)
    # What a process does once, and what `predict` compiles, is not part of the times.
    model.predict(x[: args.batch_size], batch_size=args.batch_size, verbose=0)
    insight.report(model, x[:1], verbose=0)
    start = time.perf_counter()
    model.predict(x, batch_size=args.batch_size, verbose=0)
    predict = time.perf_counter() - start
    start = time.perf_counter()
    found = insight.report(model, x, args.batch_size, verbose=0)
    seconds = time.perf_counter() - start
    memory = insight.report(model, x, args.batch_size, memory=True, verbose=0)
    return (
        name,
        found.samples,
        found.steps,
        f"{found.firing_rate:.2%}",
        f"{found.silent:.2%}",
        f"{found.sops / 1e6:.3f}",
        f"{found.macs / 1e6:.3f}",
        f"{found.energy:.6f}",
        f"{found.relu_energy:.6f}",
        f"{found.ratio:.3f}",
        f"{memory.ratio:.2f}",
        f"{seconds / predict:.2f}",
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="+", help="presets")
    parser.add_argument("--data-dir", help="folder with data sets")
    parser.add_argument("--data", help="data set, folder or file")
    parser.add_argument("--cache-dir", help="folder for cached frames")
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--batch-size", type=int, default=100)
    parser.add_argument(
        "--monitor", action="store_true", help="time SpikeMonitor in an epoch of all samples"
    )
    args = parser.parse_args()
    if args.monitor:
        for name in args.names:
            share = monitor(name, args)
            print(f"{name}, {args.samples} samples: SpikeMonitor took {share:.1%} of the time")
        return
    print(f"| {' | '.join(COLUMNS)} |")
    print("|" + "---|" * len(COLUMNS))
    for name in args.names:
        print(f"| {' | '.join(map(str, row(name, args)))} |", flush=True)


if __name__ == "__main__":
    main()
