"""Compare the synaptic operations of `insight.report` with those that SpikingJelly counts.

    pip install spikingjelly torchvision
    KERAS_BACKEND=torch python benchmarks/spikingjelly_operations.py

`STAAResNet34` gets the random weights of SpikingJelly's `spiking_resnet34`, and both the same
images. SpikingJelly's `SynOpCounter` counts while its network runs, one time step after the other.
"""

import numpy as np
import torch
from spikingjelly.activation_based import functional
from spikingjelly.activation_based.op_counter import DispatchCounterMode, SynOpCounter
from spikingjelly_weights import setting, twin

from keras_staa import insight


def counted(network, x, steps):
    """Return the synaptic operations of all images that SpikingJelly counts."""
    functional.reset_net(network)
    images = torch.tensor(np.moveaxis(x, -1, 1).copy())
    counter = SynOpCounter()
    with torch.no_grad(), DispatchCounterMode([counter]):
        for _ in range(steps):
            network(images)
    return counter.get_total()


def main():
    network, x = setting(__doc__)
    print("| T | SpikingJelly | keras-staa | difference |")
    print("|---|---|---|---|")
    for steps in (1, 4):
        expected = counted(network, x, steps)
        model = twin(network, steps, x.shape[1])
        found = insight.report(model, x, verbose=0)
        own = round(found.sops * len(x))
        print(f"| {steps} | {expected} | {own} | {expected - own} |")


if __name__ == "__main__":
    main()
