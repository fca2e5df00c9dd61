"""Long sequences: a neuron alone and two small networks, on PyTorch, against other libraries.

    python benchmarks/sequences.py --environment build/peers

A training step, forward and backward, of this library without and with `keras_staa.jit_compile`,
of SpikingJelly and of snnTorch. All have the same weights, decay, hard reset and arctan surrogate,
and take turns; medians are printed. Before anything is timed, the numbers of spikes must agree.
Their packages are installed as `benchmarks/peers.py` says.
"""

import argparse
import math
import os
import sys

from libraries import environment

os.environ["KERAS_BACKEND"] = "torch"
DECAY, SLOPE = 0.9, 2.0
OURS, COMPILED = "keras-staa", "keras-staa, jit_compile"
# Share of the spikes by which their numbers may differ: sums in another order.
NEAR = 1e-3


def ours(layers, jit):
    """Return a function from an input (B, T, ...) to spikes, and the weights."""
    import keras

    import keras_staa

    def lif():
        surrogate = keras_staa.surrogates.Arctan(SLOPE)
        neuron = keras_staa.layers.LIF(DECAY, learn=False, surrogate=surrogate)
        return keras_staa.jit_compile(neuron) if jit else neuron

    steps, kernels = [], []
    for kernel in layers:
        if kernel is not None and kernel.ndim == 4:
            layer = keras_staa.layers.Conv2D(kernel.shape[0], 3, padding="same", use_bias=False)
            layer = keras_staa.layers.PerStep(layer)
            value, shape = kernel.permute(2, 3, 1, 0), (None, None, None, None, kernel.shape[1])
        elif kernel is not None:
            layer = keras.layers.Dense(kernel.shape[0], use_bias=False)
            value, shape = kernel.T, (None, None, kernel.shape[1])
        if kernel is not None:
            layer.build(shape)
            layer.trainable_variables[0].assign(value)
            kernels.append(layer.trainable_variables[0].value)
            steps.append(layer)
        steps.append(lif())

    def call(x):
        for layer in steps:
            x = layer(x)
        return x

    def prepared(x):
        return x.permute(0, 1, 3, 4, 2).contiguous() if x.ndim == 5 else x.clone()

    return call, kernels, prepared


def spikingjelly(layers):
    import torch
    from spikingjelly.activation_based import functional, layer, neuron, surrogate

    modules = []
    for kernel in layers:
        if kernel is not None:
            kind = torch.nn.Linear if kernel.ndim == 2 else layer.Conv2d
            given = {} if kernel.ndim == 2 else {"kernel_size": 3, "padding": 1, "step_mode": "m"}
            module = kind(kernel.shape[1], kernel.shape[0], bias=False, **given)
            module.weight.data.copy_(kernel)
            modules.append(module)
        modules.append(
            neuron.LIFNode(
                tau=1 / (1 - DECAY),
                decay_input=False,
                surrogate_function=surrogate.ATan(SLOPE),
                detach_reset=True,
                step_mode="m",
            )
        )
    network = torch.nn.Sequential(*modules)

    def call(x):
        functional.reset_net(network)
        return network(x)

    return call, list(network.parameters()), lambda x: x.transpose(0, 1).contiguous()


def snntorch(layers):
    import snntorch
    import torch
    from torch.nn import functional

    grad = snntorch.surrogate.atan(SLOPE)
    neurons = [snntorch.Leaky(beta=DECAY, spike_grad=grad, reset_mechanism="zero") for _ in layers]
    kernels = [None if k is None else torch.nn.Parameter(k.clone()) for k in layers]

    def current(x, kernel):
        if kernel is None:
            return x
        if kernel.ndim == 2:
            return functional.linear(x, kernel)
        return functional.conv2d(x.flatten(0, 1), kernel, padding=1).unflatten(0, x.shape[:2])

    def call(x):
        for kernel, neuron in zip(kernels, neurons, strict=True):
            membrane, spikes = neuron.reset_mem(), []
            for step in current(x, kernel):
                spike, membrane = neuron(step, membrane)
                spikes.append(spike)
            x = torch.stack(spikes)
        return x

    return call, [k for k in kernels if k is not None], lambda x: x.transpose(0, 1).contiguous()


def runs(x, layers):
    """Return functions to time by library, after a check that the spikes agree."""
    import torch
    from turns import seconds_of

    makers = {
        OURS: lambda: ours(layers, False),
        COMPILED: lambda: ours(layers, True),
        "SpikingJelly": lambda: spikingjelly(layers),
        "snnTorch": lambda: snntorch(layers),
    }
    found, counts = {}, {}
    for name, make in makers.items():
        call, kernels, prepared = make()
        given = prepared(x).requires_grad_(not kernels)

        def run(call=call, given=given, wanted=kernels or [given]):
            return torch.autograd.grad(call(given).sum(), wanted)

        found[name] = lambda run=run: seconds_of(run)
        counts[name] = call(given).sum().item()
    most, least = max(counts.values()), min(counts.values())
    if not most or most - least > NEAR * most:
        sys.exit(f"The libraries do not agree: {counts}")
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--environment", default=environment.ROOT / "build" / "peers")
    parser.add_argument("--seconds", type=float, default=5.0, help="least time of a row")
    args = parser.parse_args()
    environment.enter(args.environment)
    import torch
    from turns import medians

    torch.manual_seed(0)

    def kernel(*shape):
        return 2 * torch.randn(shape) / math.prod(shape[1:]) ** 0.5

    events = (torch.rand(32, 50, 700) < 0.1).float()
    images = (torch.rand(16, 8, 16, 32, 32) < 0.2).float()
    rows = {f"neuron, (32, {t}, 128)": (torch.rand(32, t, 128), [None]) for t in (16, 17, 50, 200)}
    rows["dense 700-128-128-20, T = 50"] = (
        events,
        [kernel(128, 700), kernel(128, 128), kernel(20, 128)],
    )
    rows["convolutions 16-32-32, T = 8"] = (images, [kernel(32, 16, 3, 3), kernel(32, 32, 3, 3)])
    for place, (name, given) in enumerate(rows.items()):
        found = medians(runs(*given), args.seconds)
        if not place:
            print("| ms |", " | ".join(found), "|\n" + "| --- " * (1 + len(found)) + "|")
        cells = " | ".join(f"{1e3 * value:.1f}" for value in found.values())
        print(f"| {name} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
