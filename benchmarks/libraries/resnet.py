"""STAAResNet19 without attention, written for PyTorch, with the neurons of any library."""

import numpy as np
import torch
from torch import nn

STAGES = ((3, 1, 1), (3, 2, 2), (2, 4, 2))


class ResNet19(nn.Module):
    """Images (B, 3, H, W) to logits (B, classes).

    Convolutions and batch normalizations get the images of all steps at once, (T * B, C, H, W),
    and the first convolution gets each image once: what the fastest form of every library does.

    Args:
        neurons: function without arguments that makes a module (T, B, C, H, W) -> spikes.
        width, steps, classes: as in `keras_staa.STAAResNet19`.
    """

    def __init__(self, neurons, width=32, steps=4, classes=10):
        super().__init__()
        self.steps = steps
        self.stem = Current(3, width, 3, 1)
        self.stem_neuron = neurons()
        self.blocks, channels = nn.ModuleDict(), width
        for stage, (blocks, factor, strides) in enumerate(STAGES, start=1):
            for index in range(blocks):
                self.blocks[f"stage{stage}_block{index + 1}"] = Block(
                    channels, width * factor, strides if index == 0 else 1, neurons
                )
                channels = width * factor
        self.predictions = nn.Linear(channels, classes)

    def forward(self, images):
        x = self.stem(images)
        x = self.stem_neuron(x.expand(self.steps, *x.shape))
        for block in self.blocks.values():
            x = block(x)
        return self.predictions(x.mean((3, 4))).mean(0)

    def currents(self):
        """Return the pairs of convolution and normalization, by the names that Keras gives them."""
        found = {"stem": self.stem}
        for name, block in self.blocks.items():
            found |= {f"{name}_1": block.first, f"{name}_2": block.second}
            if block.shortcut is not None:
                found[f"{name}_shortcut"] = block.shortcut
        return found


class Block(nn.Module):
    def __init__(self, channels, filters, strides, neurons):
        super().__init__()
        changed = strides != 1 or channels != filters
        self.shortcut = Current(channels, filters, 1, strides) if changed else None
        self.first, self.second = (
            Current(channels, filters, 3, strides),
            Current(filters, filters, 3, 1),
        )
        self.neuron_1, self.neuron_2 = neurons(), neurons()

    def forward(self, x):
        shortcut = x if self.shortcut is None else merged(self.shortcut, x)
        x = self.neuron_1(merged(self.first, x))
        return self.neuron_2(merged(self.second, x) + shortcut)


class Current(nn.Module):
    """Convolution and batch normalization."""

    def __init__(self, channels, filters, kernel, strides):
        super().__init__()
        # Keras pads an even image on the far side only where the stride is 2.
        self.far = kernel > 1 and strides == 2
        padding = 0 if self.far else kernel // 2
        self.conv = nn.Conv2d(channels, filters, kernel, strides, padding, bias=False)
        self.bn = nn.BatchNorm2d(filters, eps=1e-5, momentum=0.1)

    def forward(self, x):
        return self.bn(self.conv(nn.functional.pad(x, (0, 1, 0, 1)) if self.far else x))


def merged(module, x):
    """Apply a module of images to all steps at once."""
    y = module(x.flatten(0, 1))
    return y.unflatten(0, x.shape[:2])


@torch.no_grad()
def load(model, weights):
    """Copy the weights of our network.

    Args:
        model: a `ResNet19`.
        weights: arrays by names such as `"stem_conv/kernel"`, as `ours.weights` returns them.
    """
    left = dict(weights)

    def copy(parameter, name, axes=None):
        array = left.pop(name)
        parameter.copy_(torch.from_numpy(array if axes is None else np.transpose(array, axes)))

    for name, current in model.currents().items():
        copy(current.conv.weight, f"{name}_conv/kernel", (3, 2, 0, 1))
        copy(current.bn.weight, f"{name}_bn/gamma")
        copy(current.bn.bias, f"{name}_bn/beta")
        copy(current.bn.running_mean, f"{name}_bn/moving_mean")
        copy(current.bn.running_var, f"{name}_bn/moving_variance")
    copy(model.predictions.weight, "predictions/kernel", (1, 0))
    copy(model.predictions.bias, "predictions/bias")
    if left:
        raise ValueError(f"Weights without a place: {sorted(left)}")
