"""Spiking networks in plain PyTorch, named as those of SpikingJelly, and run step by step."""

import torch
from torch import nn


class LIF(nn.Module):
    """A hard reset to 0, as SpikingJelly's `LIFNode` with `decay_input=True` steps."""

    def __init__(self, tau, threshold):
        super().__init__()
        self.tau, self.threshold, self.v = tau, threshold, 0.0

    def forward(self, x):
        v = self.v + (x - self.v) / self.tau
        spikes = (v >= self.threshold).float()
        self.v = v * (1.0 - spikes)
        return spikes


class Block(nn.Module):
    def __init__(self, before, after, stride, neuron):
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn1, self.sn1 = nn.BatchNorm2d(after), neuron()
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.bn2, self.sn2 = nn.BatchNorm2d(after), neuron()
        self.downsample = None
        if stride != 1 or before != after:
            conv = nn.Conv2d(before, after, 1, stride, bias=False)
            self.downsample = nn.Sequential(conv, nn.BatchNorm2d(after))

    def forward(self, x):
        y = self.bn2(self.conv2(self.sn1(self.bn1(self.conv1(x)))))
        return self.sn2(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    def __init__(self, blocks, width, classes, neuron, large):
        super().__init__()
        size, stride, pad = (7, 2, 3) if large else (3, 1, 1)
        self.conv1 = nn.Conv2d(3, width, size, stride, pad, bias=False)
        self.bn1, self.sn1 = nn.BatchNorm2d(width), neuron()
        self.maxpool = nn.MaxPool2d(3, 2, 1) if large else nn.Identity()
        before = width
        for stage, count in enumerate(blocks, start=1):
            after, rows = width * 2 ** (stage - 1), []
            for index in range(count):
                rows.append(Block(before, after, 2 if index == 0 and stage > 1 else 1, neuron))
                before = after
            setattr(self, f"layer{stage}", nn.Sequential(*rows))
        self.fc = nn.Linear(before, classes)

    def forward(self, x):
        x = self.maxpool(self.sn1(self.bn1(self.conv1(x))))
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
        return self.fc(x.mean((2, 3)))


class VGG(nn.Sequential):
    """Ten convolutions with biases, as they are written by hand, and a mean after each two."""

    def __init__(self, width, classes, neuron):
        layers, before = [], 3
        for factor in (1, 2, 4, 8, 8):
            for _ in range(2):
                after = width * factor
                layers += [nn.Conv2d(before, after, 3, 1, 1), nn.BatchNorm2d(after), neuron()]
                before = after
            layers.append(nn.AvgPool2d(2))
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, classes))


def randomise(network, seed=0):
    """Give every weight and statistic a random value that lets spikes through."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(tensor, low, high):
        tensor.copy_(torch.rand(tensor.shape, generator=generator) * (high - low) + low)

    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                uniform(module.weight, 0.6, 1.2)
                uniform(module.bias, 0.0, 0.4)
                uniform(module.running_mean, -0.2, 0.2)
                uniform(module.running_var, 0.3, 0.8)
            elif isinstance(module, nn.Conv2d | nn.Linear):
                bound = (6 / module.weight[0].numel()) ** 0.5
                uniform(module.weight, -bound, bound)
                if module.bias is not None:
                    uniform(module.bias, -0.2, 0.2)
    return network.eval()


def logits(network, images, steps):
    """Mean over the steps of what the network gives for images (B, H, W, C)."""
    for module in network.modules():
        if isinstance(module, LIF):
            module.v = 0.0
    x = torch.tensor(images).permute(0, 3, 1, 2)
    with torch.no_grad():
        return (sum(network(x) for _ in range(steps)) / steps).numpy()
