"""Memory and time of making frames of one recording that is larger than memory should be.

    python benchmarks/big_recordings.py FOLDER --format aedat

Writes a recording of `--gigabytes` (every byte of it, one block of events after the other) and
makes T = 10 frames of it, once as one sample and once cut into windows of `--window` seconds, each
in a new process. Memory and processor time are those of this process, Keras included, and of all
that it started, looked at five times a second.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np

ROOT = pathlib.Path(__file__).parents[1]
BLOCK, MICROSECONDS = 1_000_000, 8_000_000


def block(size):
    """Events of eight seconds, evenly spread over time and at random over the sensor."""
    rng = np.random.default_rng(0)
    x, y = rng.integers(size[1], size=BLOCK), rng.integers(size[0], size=BLOCK)
    t = np.arange(BLOCK) * (MICROSECONDS // BLOCK)
    return x, y, t, rng.integers(2, size=BLOCK)


def write_bin(file, size):
    # The clock runs over every 2**13 us, which an event in row 240 tells.
    x, y, t, p = (values[: 2**10] for values in block((34, 34)))
    rows = np.zeros((len(t) + 1, 5), np.uint8)
    rows[:-1] = np.stack([x, y, p << 7 | t >> 16, t >> 8 & 255, t & 255], axis=1)
    rows[-1, 1] = 240
    data = rows.tobytes() * 1000
    while file.tell() < size:
        file.write(data)


def write_aedat(file, size):
    x, y, t, p = block((128, 128))
    file.write(b"#!AER-DAT2.0\r\n# AEChip: ch.unizh.ini.jaer.chip.retina.DVS128\r\n")
    words = np.empty(BLOCK, [("address", ">u4"), ("time", ">u4")])
    words["address"] = y << 8 | (127 - x) << 1 | (1 - p)
    while file.tell() < size:
        words["time"] = t
        file.write(words.tobytes())
        t += MICROSECONDS


def write_aedat4(file, size):
    sys.path.insert(0, str(ROOT))
    from tests.data.formats import files

    each = 10_000
    made = np.empty(each, files.DTYPE)
    for name, values in zip("xytp", block((128, 128)), strict=True):
        made[name] = values[:each]
    file.write(files.header4(size=(128, 128)))
    while file.tell() < size:
        file.write(files.packet4(made))
        made["t"] += MICROSECONDS // BLOCK * each


def write_npy(file, size):
    columns, dtype = (
        block((128, 128)),
        np.dtype([("t", "<i8"), ("x", "<u2"), ("y", "<u2"), ("p", "u1")]),
    )
    made = np.empty(BLOCK, dtype)
    made["x"], made["y"], made["t"], made["p"] = columns
    blocks = -(-size // made.nbytes)
    about = {"descr": dtype.descr, "fortran_order": False, "shape": (blocks * BLOCK,)}
    np.lib.format.write_array_header_1_0(file, about)
    for _ in range(blocks):
        file.write(made.tobytes())
        made["t"] += MICROSECONDS


def write_h5(file, size):
    import h5py

    x, y, t, p = block((128, 128))
    columns = {"x": x.astype("u2"), "y": y.astype("u2"), "t": t, "p": p.astype("u1")}
    blocks = -(-size // sum(values.nbytes for values in columns.values()))
    with h5py.File(file, "w") as target:
        group = target.create_group("events")
        for name, values in columns.items():
            shape = (blocks * BLOCK,)
            group.create_dataset(name, shape, values.dtype, chunks=(100_000,))
        for index in range(blocks):
            for name, values in columns.items():
                group[name][index * BLOCK : (index + 1) * BLOCK] = values
            columns["t"] += MICROSECONDS


WRITERS = {
    "bin": write_bin,
    "aedat": write_aedat,
    "aedat4": write_aedat4,
    "npy": write_npy,
    "h5": write_h5,
}


def family(parent):
    """Return the CPU seconds of this process and those below it, by their numbers."""
    above, spent = {}, {}
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # It ended.
            continue
        above[int(entry.name)] = int(fields[1])
        spent[int(entry.name)] = sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")
    found = {parent}
    while more := {number for number, of in above.items() if of in found} - found:
        found |= more
    return {number: spent[number] for number in found}


def resident(number):
    """Bytes of memory that a process has, those it shares with others in equal parts."""
    try:
        lines = pathlib.Path(f"/proc/{number}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def measure(folder, window):
    """Make the frames and print their number, the seconds, and the MiB before and at the most."""
    from keras_staa import data

    before, started = resident(os.getpid()), time.process_time()
    peaks, spent, watching, done = [before], {}, [], threading.Event()

    def watch():
        while not done.wait(0.2):
            spent.update(family(os.getpid()))
            peaks.append(sum(map(resident, spent)))
        watching.append(time.thread_time())

    watcher = threading.Thread(target=watch)
    watcher.start()
    with tempfile.TemporaryDirectory(dir=folder.parent) as cache:
        found = data.events(folder, 10, window=window, cache_dir=cache, verbose=False)
        found[0]
    done.set()
    watcher.join()
    seconds = sum(spent.values()) - started - watching[0]
    mebibytes = [f"{size / 2**20:.0f}" for size in (before, max(peaks))]
    print(len(found.cache.labels), f"{seconds:.0f}", *mebibytes)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path, help="where the recording is written")
    parser.add_argument("--format", choices=WRITERS, required=True)
    parser.add_argument("--gigabytes", type=float, default=4)
    parser.add_argument("--window", type=float, default=60)
    parser.add_argument("--measure", choices=("whole", "windows"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    recordings = args.folder / f"big-{args.format}"
    if args.measure:
        measure(recordings, args.window if args.measure == "windows" else None)
        return
    path = recordings / "class" / f"recording.{args.format}"
    path.parent.mkdir(parents=True)
    try:
        with path.open("wb") as file:
            WRITERS[args.format](file, round(args.gigabytes * 1e9))
        size = f"{path.stat().st_size / 1e9:.2f} GB"
        print("| recording | samples | CPU seconds | MiB before | peak MiB |")
        print("| --- | --- | --- | --- | --- |")
        for way in ("whole", "windows"):
            done = subprocess.run(
                [sys.executable, __file__, *sys.argv[1:], "--measure", way],
                check=True,
                stdout=subprocess.PIPE,
                text=True,
            )
            cells = " | ".join(done.stdout.split()[-4:])
            print(f"| .{args.format}, {size}, {way} | {cells} |", flush=True)
    finally:
        path.unlink(missing_ok=True)
        path.parent.rmdir()
        recordings.rmdir()


if __name__ == "__main__":
    main()
