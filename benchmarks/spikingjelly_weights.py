"""Give `STAAResNet34` the weights of SpikingJelly's `spiking_resnet34`, and compare the outputs.

    pip install spikingjelly torchvision
    KERAS_BACKEND=torch python benchmarks/spikingjelly_weights.py

All weights are random, and both networks get the same 20 images of random numbers. Prints the
largest difference of a logit, the share of spikes that differ, and how often both say the same
class, for one and for four time steps.
"""

import argparse

import keras
import numpy as np
import torch
from spikingjelly.activation_based import functional, neuron, surrogate
from spikingjelly.activation_based.model.spiking_resnet import spiking_resnet34

import keras_staa

THRESHOLD = 0.5
NEURON = {"decay": 0.5, "gain": 0.5, "threshold": THRESHOLD}


def theirs(seed):
    """SpikingJelly's network with random weights that let spikes through."""
    torch.manual_seed(seed)
    network = spiking_resnet34(
        spiking_neuron=neuron.LIFNode,
        surrogate_function=surrogate.ATan(),
        tau=2.0,
        v_threshold=THRESHOLD,
        num_classes=10,
    )
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for tensor, low, high in (
                (module.weight.data, 0.6, 1.2),
                (module.bias.data, 0.0, 0.4),
                (module.running_mean, -0.2, 0.2),
                (module.running_var, 0.3, 0.8),
            ):
                tensor.uniform_(low, high)
    return network.eval()


def run_theirs(network, x, steps):
    """Mean of the logits over the steps, and the spikes of each layer, channels last."""
    spikes, hooks = {}, []
    for name, module in network.named_modules():
        if isinstance(module, neuron.LIFNode):
            kept = spikes.setdefault(name, [])
            hooks.append(module.register_forward_hook(lambda m, i, o, kept=kept: kept.append(o)))
    functional.reset_net(network)
    images = torch.tensor(np.moveaxis(x, -1, 1).copy())
    with torch.no_grad():
        logits = sum(network(images) for _ in range(steps)) / steps
    for hook in hooks:
        hook.remove()
    stacked = [torch.stack(kept, 1).numpy() for kept in spikes.values()]
    return logits.numpy(), [np.moveaxis(s, 2, -1) for s in stacked]


def twin(network, steps, size):
    """Return our network with the weights of theirs."""
    model = keras_staa.STAAResNet34(
        input_shape=(size, size, 3),
        classes=10,
        steps=steps,
        attention=False,
        neuron=NEURON,
        classifier_activation=None,
        padding="symmetric",
    )
    keras_staa.exchange.load_torch_weights(model, network.state_dict())
    return model


def run_ours(network, x, steps):
    model = twin(network, steps, x.shape[1])
    neurons = [layer.output for layer in model.layers if isinstance(layer, keras_staa.layers.LIF)]
    logits, *spikes = keras.Model(model.inputs, [model.output, *neurons]).predict(x, verbose=0)
    return logits, spikes


def setting(description):
    """Return their network, and the images that the command line asks for."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--size", type=int, default=64, help="height and width of the images")
    parser.add_argument("--images", type=int, default=20)
    args = parser.parse_args()
    x = np.random.default_rng(0).random((args.images, args.size, args.size, 3))
    return theirs(0), x.astype("float32")


def main():
    network, x = setting(__doc__)
    print("| T | largest logit | largest difference | spikes that differ | equal classes |")
    print("|---|---|---|---|---|")
    for steps in (1, 4):
        expected, spikes = run_theirs(network, x, steps)
        found, own = run_ours(network, x, steps)
        other = sum(np.sum(a != b) for a, b in zip(spikes, own, strict=True))
        share = other / sum(s.size for s in spikes)
        same = int(np.sum(expected.argmax(1) == found.argmax(1)))
        print(
            f"| {steps} | {np.abs(expected).max():.3f} | {np.abs(expected - found).max():.2e} "
            f"| {share:.2e} | {same} of {len(x)} |"
        )


if __name__ == "__main__":
    main()
