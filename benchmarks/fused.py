"""What `keras_staa.fuse` is worth: time of inference, and what rounding changes.

    KERAS_BACKEND=torch python benchmarks/fused.py speed resnet19 cifar10
    KERAS_BACKEND=torch python benchmarks/fused.py latency
    KERAS_BACKEND=torch python benchmarks/fused.py agree cifar10 --data CIFAR10.npz

`speed` prints the time of a batch of 128 images * T over that of the ReLU network as a user has
it, not fused: of that network fused, of the network without the aggregator and of the one with it.
`latency` prints milliseconds for one image, in turns, of a preset by `predict_on_batch`, of it
fused, and of both in ONNX Runtime on the same threads. `agree` counts, on test images, the classes
and the spikes that change.
"""

import argparse
import pathlib
import tempfile

import keras
import numpy as np
from limit import COMPILED, in_turns

import keras_staa
from keras_staa import layers

IMAGES = 128
BACKEND = keras.backend.backend()
ONE = {"resnet19": (keras_staa.STAAResNet19, {"width": 32})}


def compiled(model, spikes=True):
    """Compile a model as `limit.py` does at its base point."""
    how = COMPILED[BACKEND][0]
    if how == "neurons" and spikes:
        keras_staa.jit_compile(model)
    model.compile(jit_compile=True if how == "all" else "auto")
    return model


def of_kind(name, kind, steps):
    """Return an untrained network of the architecture of a preset, or of the paper."""
    if name in ONE:
        factory, arguments = ONE[name]
    else:
        preset = keras_staa.zoo.load(name)
        factory = getattr(keras_staa, preset.factory)
        arguments = {"width": preset.arguments["width"]}
    if kind == "ReLU":
        return factory(steps=1, attention=False, neuron=keras.layers.ReLU(), **arguments)
    return factory(steps=steps, attention=kind == "STAA", **arguments)


def speed(args):
    print("| backend | network | T | ReLU, s | ReLU fused | LIF | fused | STAA | fused |")
    print("|" + " --- |" * 9)
    for name in args.names or ["resnet19"]:
        runs = {}
        for kind in ("ReLU", "LIF", "STAA"):
            model = of_kind(name, kind, args.steps)
            count = IMAGES // (1 if kind == "ReLU" else args.steps)
            x = keras.ops.convert_to_tensor(np.random.rand(count, 32, 32, 3).astype("float32"))
            for fused, network in ((False, model), (True, keras_staa.fuse(model))):
                network = compiled(network, spikes=kind != "ReLU")
                runs[kind, fused] = lambda m=network, x=x: m.predict_on_batch(x)
        found = in_turns(runs, args.seconds)
        relu = found.pop(("ReLU", False))
        cells = " | ".join(f"{value / relu:.2f}" for value in found.values())
        print(f"| {BACKEND} | {name} | {args.steps} | {relu:.3f} | {cells} |", flush=True)


def latency(args):
    import onnxruntime

    print("| preset | T | Keras | fused | ONNX Runtime | fused |\n|" + " --- |" * 6)
    for name in args.names or ["compact_w72_t1.cifar10", "compact_w72_t4.cifar10"]:
        model = keras_staa.zoo.load(name)
        x = np.random.rand(1, *model.input_shape[1:]).astype("float32")
        runs = {}
        with tempfile.TemporaryDirectory() as folder:
            for fused, network in ((False, model), (True, keras_staa.fuse(model))):
                path = pathlib.Path(folder) / f"{fused}.onnx"
                keras_staa.export(network, path, "onnx", samples=x, at_least=0.0)
                session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
                key = session.get_inputs()[0].name
                given = keras.ops.convert_to_tensor(x)
                runs["Keras", fused] = lambda m=network, x=given: m.predict_on_batch(x)
                runs["ONNX", fused] = lambda s=session, x={key: x}: s.run(None, x)
        found = in_turns(runs, args.seconds, least=20)
        order = ("Keras", False), ("Keras", True), ("ONNX", False), ("ONNX", True)
        cells = " | ".join(f"{1000 * found[key]:.2f}" for key in order)
        print(f"| {name} | {model.arguments['steps']} | {cells} |", flush=True)


def with_spikes(model):
    """Return a model of the output and of the spikes of all neurons."""
    kinds = layers.Neuron, layers.STAALIF, layers.STAANeuron
    neurons = [layer.output for layer in model.layers if isinstance(layer, kinds)]
    return keras.Model(model.inputs, [model.outputs[0], *neurons])


def agree(args):
    print("| preset | images | other classes | other spikes | of | accuracy | fused |")
    print("|" + " --- |" * 7)
    for name in args.names or ["cifar10"]:
        model = keras_staa.zoo.load(name)
        pair = [with_spikes(m) for m in (model, keras_staa.fuse(model))]
        classes, labels, differ, places = [[], []], [], 0, 0
        for x, y in keras_staa.data.images(args.data, "test", batch_size=100):
            labels.append(np.asarray(y))
            found = [keras.tree.map_structure(np.asarray, m.predict_on_batch(x)) for m in pair]
            for index, outputs in enumerate(found):
                classes[index].append(outputs[0].argmax(-1))
            for a, b in zip(found[0][1:], found[1][1:], strict=True):
                differ, places = differ + np.count_nonzero(a != b), places + a.size
        a, b, labels = (np.concatenate(parts) for parts in (*classes, labels))
        print(
            f"| {name} | {len(a)} | {np.sum(a != b)} | {differ} | {places:.3e} "
            f"| {np.mean(a == labels):.2%} | {np.mean(b == labels):.2%} |",
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=["speed", "latency", "agree"])
    parser.add_argument("names", nargs="*", help="presets; for `speed` also resnet19, width 32")
    parser.add_argument("--steps", type=int, default=4, help="T of `speed`")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each row")
    parser.add_argument("--data", help="NPZ file of the data set, as `data.images` reads it")
    args = parser.parse_args()
    if args.what == "agree" and args.data is None:
        parser.error("agree needs --data")
    {"speed": speed, "latency": latency, "agree": agree}[args.what](args)


if __name__ == "__main__":
    main()
