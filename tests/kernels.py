"""The kernels for GPUs and TPUs, run on a CPU by JAX's interpreter."""

import functools

from keras_staa.ops import neuron, staa
from keras_staa.ops.kernels import blocks


def interpret(monkeypatch, machine="triton"):
    """Let neurons and aggregators take their kernels, and return the names of those that ran."""
    ran, call = [], blocks.call
    forget()

    @functools.wraps(call)
    def interpreted(kernel, grid, inputs, outputs, machine, name, interpret):
        ran.append(name)
        return call(kernel, grid, inputs, outputs, machine, name, True)

    def in_kernel(xla_on_cpu, elsewhere, **forms):
        return forms.get(machine, xla_on_cpu)

    monkeypatch.setattr(blocks, "call", interpreted)
    for module in (neuron, staa):
        monkeypatch.setattr(module, "by_platform", in_kernel)
    return ran


def small_blocks(monkeypatch):
    """Blocks so small that programs have several, and that the last ones are partly empty."""
    from keras_staa.ops.kernels import mosaic, summaries, triton

    monkeypatch.setattr(triton, "ELEMENTS", 16)
    monkeypatch.setattr(triton, "PROGRAMS", 2)
    monkeypatch.setattr(summaries, "BUSY", 2)
    monkeypatch.setattr(mosaic, "ROWS", {True: 4, False: 4})
    monkeypatch.setattr(mosaic, "MOST_ROWS", {True: 8, False: 8})


def forget():
    """Forget the functions made so far, and what was traced of them."""
    neuron._spiking.cache_clear()
    staa._summaries.cache_clear()
