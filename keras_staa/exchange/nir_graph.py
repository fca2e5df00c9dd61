"""Nodes and edges of a NIR graph while it is made, in float64 until the end."""

import numpy as np


class Graph:
    """Nodes, edges and the shapes (C, H, W) or (C,) of what nodes give.

    What a tensor comes from is a list of names of nodes: it is the sum of what they give.

    Args:
        average: `"AvgPool2d"` or `"Conv2d"`, the node of a mean over places.
    """

    def __init__(self, average):
        self.average = average
        self.nodes, self.edges, self.shapes = {}, [], {}
        # What the input of a neuron is to be multiplied by, (C,), and nodes that scale and shift.
        self.gains, self.diagonal = {}, []

    def add(self, name, node, sources, shape):
        """Add a node, and return it as what a tensor comes from."""
        self.nodes[name] = node
        self.edges += [(source, name) for source in sources]
        self.shapes[name] = tuple(int(n) for n in shape)
        return [name]

    def shape(self, sources):
        """Return the shape of what a tensor comes from."""
        return self.shapes[sources[0]]

    def convolution(self, name, weight, bias, strides, padding, sources, size):
        """Add a convolution to images of `size`."""
        import nir

        before = self.shape(sources)[1:]
        node = nir.Conv2d(before, weight, strides, padding, (1, 1), 1, bias)
        return self.add(name, node, sources, (len(weight), *size))

    def scale(self, name, scale, shift, sources):
        """Add a node that scales and shifts each channel."""
        self.diagonal.append(name)
        weight = np.diag(np.asarray(scale, "float64"))[:, :, None, None]
        size = self.shape(sources)[1:]
        return self.convolution(name, weight, shift, (1, 1), (0, 0), sources, size)

    def mean(self, name, pool, sources):
        """Add a mean of places that do not overlap."""
        import nir

        channels, *size = self.shape(sources)
        after = [n // k for n, k in zip(size, pool, strict=True)]
        if self.average == "AvgPool2d":
            node = nir.AvgPool2d(np.array(pool), np.array(pool), np.array([0, 0]))
            return self.add(name, node, sources, (channels, *after))
        weight = np.eye(channels)[:, :, None, None] / np.prod(pool)
        weight = np.broadcast_to(weight, (channels, channels, *pool))
        bias = np.zeros(channels)
        return self.convolution(name, weight, bias, tuple(pool), (0, 0), sources, after)

    def finish(self):
        """Multiply what is before a neuron by its gain, and join what only scales and shifts.

        Returns:
            A `nir.NIRGraph`.
        """
        import nir

        for name, gain in self.gains.items():
            if not np.all(gain == 1.0):
                self._multiply_before(name, gain)
        for name in self.diagonal:
            before = [a for a, b in self.edges if b == name]
            if len(before) == 1 and self._is_free(before[0]):
                self._join(before[0], name)
        for node in self.nodes.values():
            if type(node) in (nir.Conv2d, nir.Affine):
                node.weight, node.bias = node.weight.astype("float32"), node.bias.astype("float32")
        return nir.NIRGraph(self.nodes, self.edges)

    def _multiply_before(self, name, gain):
        for source in [a for a, b in self.edges if b == name]:
            if self._is_free(source):
                self._multiply(source, gain)
                continue
            self.edges.remove((source, name))
            self.edges += [(self.scale(f"{source}_{name}", gain, 0 * gain, [source])[0], name)]

    def _is_free(self, name):
        """Whether a node is linear, and one node alone reads it."""
        import nir

        linear = isinstance(self.nodes[name], nir.Conv2d | nir.Affine)
        return linear and sum(a == name for a, _ in self.edges) == 1

    def _multiply(self, name, factor):
        node = self.nodes[name]
        node.weight = node.weight * factor.reshape(-1, *[1] * (node.weight.ndim - 1))
        node.bias = node.bias * factor

    def _join(self, before, name):
        node = self.nodes.pop(name)
        self._multiply(before, np.diagonal(node.weight[:, :, 0, 0]))
        self.nodes[before].bias = self.nodes[before].bias + node.bias
        self.edges.remove((before, name))
        self.edges = [(before if a == name else a, b) for a, b in self.edges]
