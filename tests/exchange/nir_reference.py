"""What a graph of NIR does, step by step in NumPy, after the definitions of its nodes."""

import numpy as np

DT = 1e-4


def windows(x, size, strides):
    found = np.lib.stride_tricks.sliding_window_view(x, size, axis=(-2, -1))
    return found[..., :: strides[0], :: strides[1], :, :]


def convolution(node, x):
    rows, columns = node.padding
    x = np.pad(x, [(0, 0), (0, 0), (rows, rows), (columns, columns)])
    found = windows(x, node.weight.shape[2:], node.stride)
    y = np.einsum("bchwij,ocij->bohw", found, node.weight.astype("float64"))
    return y + node.bias[:, None, None]


def pool(node, x):
    return windows(x, tuple(node.kernel_size), tuple(node.stride))


def neuron(node, x, v):
    v = np.zeros_like(x) if v is None else v
    if hasattr(node, "tau"):
        v = v + DT / node.tau * (node.v_leak - v + node.r * x)
    else:
        v = v + node.r * x
    s = (v > node.v_threshold).astype("float64")
    return s, np.where(s > 0, node.v_reset, v)


def run(graph, x, steps):
    """Outputs (B, T, ...) of the same input at each step, and the spikes of neurons by name."""
    states, outputs, spikes = {}, [], {}
    for _ in range(steps):
        y = {}
        while len(y) < len(graph.nodes):
            for name, node in graph.nodes.items():
                sources = [a for a, b in graph.edges if b == name]
                if name in y or not set(sources) <= set(y):
                    continue
                given = sum(y[a] for a in sources) if sources else x.astype("float64")
                kind = type(node).__name__
                if kind in ("Input", "Output"):
                    y[name] = given
                elif kind == "Conv2d":
                    y[name] = convolution(node, given)
                elif kind == "AvgPool2d":
                    y[name] = pool(node, given).mean((-2, -1))
                elif kind == "SumPool2d":
                    y[name] = pool(node, given).sum((-2, -1))
                elif kind == "Flatten":
                    y[name] = given.reshape(len(given), -1)
                elif kind in ("Affine", "Linear"):
                    y[name] = given @ node.weight.T.astype("float64")
                    y[name] = y[name] + getattr(node, "bias", 0.0)
                elif kind == "Scale":
                    y[name] = given * node.scale
                elif kind in ("LIF", "IF"):
                    y[name], states[name] = neuron(node, given, states.get(name))
                    spikes.setdefault(name, []).append(y[name])
                else:
                    raise ValueError(kind)
        outputs += [
            y[name] for name, node in graph.nodes.items() if type(node).__name__ == "Output"
        ]
    return np.stack(outputs, 1), {name: np.stack(s, 1) for name, s in spikes.items()}
