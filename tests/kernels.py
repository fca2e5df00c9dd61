"""The kernels for GPUs, run on a CPU by JAX's interpreter."""

import functools

from keras_staa.ops import neuron, staa
from keras_staa.ops.kernels import blocks


def interpret(monkeypatch):
    """Let neurons and aggregators take their kernels, and return the names of those that ran."""
    ran, call = [], blocks.call
    forget()

    @functools.wraps(call)
    def interpreted(kernel, grid, inputs, outputs, interpret, name):
        ran.append(name)
        return call(kernel, grid, inputs, outputs, True, name)

    def in_kernel(xla_on_cpu, elsewhere, gpu=None):
        return xla_on_cpu if gpu is None else gpu

    monkeypatch.setattr(blocks, "call", interpreted)
    for module in (neuron, staa):
        monkeypatch.setattr(module, "by_platform", in_kernel)
    return ran


def forget():
    """Forget the functions made so far, and what was traced of them."""
    neuron._spiking.cache_clear()
    staa._summaries.cache_clear()
