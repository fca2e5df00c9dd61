"""Classify what an event camera sees, one time step after the other.

    python examples/live_events.py dvs128_objects --recording cup.aedat
    python examples/live_events.py dvs128_objects --folder incoming --sensor-size 128 128
    python examples/live_events.py dvs128_objects --listen 5000 --sensor-size 128 128
    python examples/live_events.py --send 5000 --recording cup.aedat

`--recording` plays a file as fast as it was recorded, or with `--fast` as fast as it goes.
`--folder` waits for files in a folder and takes each as the next piece, in the order of their
names. `--listen` takes events from a socket of this machine, and `--send` plays a file into it:
each event is a record of `keras_staa.data.formats.DTYPE`.

A line is printed for each time step: the class by the steps so far, its probability, and the
latency, the time from the end of the frame to the answer. After T steps the stream begins anew.
"""

import argparse
import itertools
import pathlib
import socket
import time

import numpy as np

from keras_staa.data import formats

# Microseconds of events that are handed on at once.
PIECE = 5000


def pieces(path):
    """Yield the events of a recording, some milliseconds at a time."""
    for chunk in formats.chunks(path):
        edges = np.flatnonzero(np.diff(chunk["t"].astype("int64") // PIECE)) + 1
        yield from np.split(chunk, edges)


def in_time(parts):
    """Yield pieces of events when their time has come."""
    first = start = None
    for part in parts:
        if start is None:
            first, start = int(part["t"][0]), time.perf_counter()
        wait = (int(part["t"][-1]) - first) / 1e6 - (time.perf_counter() - start)
        time.sleep(max(wait, 0))
        yield part


def of_folder(folder, patience):
    """Yield the events of files as they come, until none has come for some seconds."""
    seen, last = set(), time.monotonic()
    while time.monotonic() - last < patience:
        new = sorted(p for p in folder.iterdir() if p.suffix in formats.FORMATS and p not in seen)
        for path in new:
            seen.add(path)
            yield from pieces(path)
            last = time.monotonic()
        time.sleep(0.01)


def of_socket(port, ready=lambda: None):
    """Yield the events that one sender sends."""
    size, rest = formats.DTYPE.itemsize, b""
    with socket.create_server(("127.0.0.1", port)) as server:
        ready()
        connection, _ = server.accept()
        with connection:
            while data := connection.recv(2**16):
                data = rest + data
                whole = len(data) // size * size
                rest = data[whole:]
                if whole:
                    yield np.frombuffer(data[:whole], formats.DTYPE)


def send(port, parts):
    with socket.create_connection(("127.0.0.1", port)) as connection:
        for part in parts:
            connection.sendall(part.tobytes())


def classify(preset, parts, sensor_size, show=print):
    """Print a line for each time step, and return the latencies in seconds."""
    import keras

    import keras_staa
    from keras_staa import streaming

    model = keras_staa.zoo.load(preset, causal=True)
    training = keras_staa.zoo.describe(preset)["training"]
    data = training["data"]
    stepper = streaming.Stepper(model)
    size = model.input_shape[2:4]
    duration = data["window"] / 1e6 / stepper.steps
    normalize = stepper.steps if training.get("normalize") else None
    live = streaming.LiveFrames(sensor_size, duration, size, normalize)
    # What compiles does so before the first event.
    stepper.step(np.zeros((1, *size, 2), "float32"), stepper.initial_state())
    state, latencies = stepper.initial_state(), []
    for frame in itertools.chain.from_iterable(map(live.push, parts)):
        start = time.perf_counter()
        outputs, state = stepper.step(frame[None], state)
        [(_, name, probability)] = keras_staa.decode_predictions(
            keras.ops.convert_to_numpy(outputs), top=1, model=model
        )[0]
        latencies.append(time.perf_counter() - start)
        step = int(state.clock[0])
        show(f"step {step:2}  {name:20} {probability:.2f}  {1000 * latencies[-1]:.1f} ms")
        if step == stepper.steps:
            state = stepper.reset(state)
    return latencies


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("preset", nargs="?", default="dvs128_objects")
    parser.add_argument("--recording", type=pathlib.Path, help="file of events")
    parser.add_argument("--folder", type=pathlib.Path, help="folder that files come into")
    parser.add_argument("--listen", type=int, metavar="PORT", help="take events from a socket")
    parser.add_argument("--send", type=int, metavar="PORT", help="send the recording to a socket")
    parser.add_argument("--sensor-size", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--fast", action="store_true", help="do not wait for the time of events")
    parser.add_argument("--patience", type=float, default=10.0, help="seconds without a new file")
    args = parser.parse_args()
    sources = [args.recording, args.folder, args.listen]
    if (args.send is not None and args.recording is None) or (
        sum(source is not None for source in sources) != 1
    ):
        parser.error("give --recording, --folder or --listen; and --recording with --send")
    sensor_size = args.sensor_size
    if args.recording:
        sensor_size = sensor_size or formats.chunks(args.recording).sensor_size
        parts = pieces(args.recording)
        parts = parts if args.fast else in_time(parts)
    elif sensor_size is None:
        parser.error("--folder and --listen need --sensor-size")
    elif args.folder:
        parts = of_folder(args.folder, args.patience)
    else:
        parts = of_socket(args.listen, lambda: print("waiting for events", flush=True))
    if args.send:
        send(args.send, parts)
        return
    latencies = classify(args.preset, parts, tuple(sensor_size))
    if latencies:
        middle, most = np.median(latencies), max(latencies)
        print(f"{len(latencies)} steps, latency {1000 * middle:.1f} ms, at most {1000 * most:.1f}")


if __name__ == "__main__":
    main()
