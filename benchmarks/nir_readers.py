"""Run a network as a graph of NIR in Norse and snnTorch, and compare the spikes.

    pip install nir norse snntorch
    KERAS_BACKEND=torch python benchmarks/nir_readers.py --data-dir DIR

Trains a STAAVGG without the aggregator for a few epochs of a part of CIFAR-10, writes it by
`keras_staa.exchange.to_nir`, runs the graph in each library on test images, and compares the spikes
of each layer of neurons, and the classes, with those of the Keras model.
"""

import argparse
import contextlib
import importlib
import io
import sys

import keras
import numpy as np
import torch

import keras_staa
from keras_staa.exchange import from_nir, to_nir
from keras_staa.exchange.nir_writing import TIME_STEP

CIFAR10 = [(0.4914, 0.2470), (0.4822, 0.2435), (0.4465, 0.2616)]


def trained(args):
    keras.utils.set_random_seed(1)
    neuron = {"surrogate": "triangular", "threshold": 0.5, "decay": args.decay, "gain": args.gain}
    model = keras_staa.STAAVGG(
        width=args.width,
        steps=args.steps,
        attention=False,
        neuron=neuron,
        normalization=CIFAR10,
    )
    options = {"data_dir": args.data_dir, "batch_size": 64}
    train = keras_staa.data.images(args.data, f"train[:{args.images}]", **options)
    model.compile(
        keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    model.fit(train, epochs=args.epochs, verbose=2)
    return model


def counts_of(model, x):
    """Spikes of each layer of neurons and sample, and logits of each sample."""
    layers = [layer for layer in model.layers if isinstance(layer, keras_staa.layers.LIF)]
    logits = [layer for layer in model.layers if "predictions" in layer.name][0]
    probe = keras.Model(model.inputs, [*(layer.output for layer in layers), logits.output])
    *spikes, logits = (keras.ops.convert_to_numpy(y) for y in probe.predict(x, verbose=0))
    counts = {layer.name: s.sum((1, 2, 3, 4)) for layer, s in zip(layers, spikes, strict=True)}
    return counts, logits.mean(1)


def run_in(name, graph, x, steps):
    """Return the same of a graph in another library."""
    names = {key.replace(".", "_"): key for key in graph.nodes}
    with contextlib.redirect_stdout(io.StringIO()):
        module = _READERS[name](graph)
    counts = {}

    def counting(key):
        def hook(module, inputs, outputs):
            spikes = outputs[0] if isinstance(outputs, tuple) else outputs
            total = spikes.detach().flatten(1).sum(1).numpy()
            counts[key] = counts.get(key, 0) + total

        return hook

    for key, part in module.named_modules():
        kind = type(graph.nodes.get(names.get(key.split(".")[-1]))).__name__
        if kind in ("LIF", "IF"):
            part.register_forward_hook(counting(key.split(".")[-1]))
    images = torch.from_numpy(x.transpose(0, 3, 1, 2).copy())
    state, logits = None, 0
    with torch.no_grad():
        for _ in range(steps):
            y, state = module(images, state)
            logits = logits + y.numpy()
    return counts, logits / steps


def _norse(graph):
    import norse.torch

    return norse.torch.from_nir(graph, ignore_warnings=True, dt=TIME_STEP)


def _snntorch(graph):
    from snntorch.import_nir import import_from_nir

    return import_from_nir(graph)


_READERS = {"norse": _norse, "snntorch": _snntorch}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("--data-dir", help="folder with the data sets")
    parser.add_argument("--images", type=int, default=5000, help="for the training")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--decay", type=float, default=0.25)
    parser.add_argument("--gain", type=float, default=1.0)
    parser.add_argument("--test-images", type=int, default=100)
    args = parser.parse_args()
    model = trained(args)
    options = {"data_dir": args.data_dir, "batch_size": args.test_images}
    x, y = next(iter(keras_staa.data.images(args.data, "test", shuffle=False, **options)))
    x, y = (keras.ops.convert_to_numpy(v) for v in (x, y))
    expected, logits = counts_of(model, x)
    graph = to_nir(model, average="Conv2d")
    rows = {"this library": (expected, logits)}
    again = from_nir(graph, args.steps)
    rows["read again here"] = counts_of(again, x)
    for name in _READERS:
        if importlib.util.find_spec(name) is None:
            print(f"{name} is not installed", file=sys.stderr)
            continue
        rows[name] = run_in(name, graph, x, args.steps)
    print("| run by | spikes | samples with equal spikes everywhere | equal classes | accuracy |")
    print("|---|---|---|---|---|")
    for name, (counts, found) in rows.items():
        equal = [counts[key] == expected[key] for key in expected]
        classes = found.argmax(1)
        print(
            f"| {name} | {int(sum(c.sum() for c in counts.values()))} "
            f"| {int(np.all(equal, axis=0).sum())} of {len(x)} "
            f"| {int((classes == logits.argmax(1)).sum())} of {len(x)} "
            f"| {np.mean(classes == y):.2%} |"
        )


if __name__ == "__main__":
    main()
