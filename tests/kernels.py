"""The kernels for GPUs and TPUs, run on a CPU by the interpreters of JAX and Triton."""

import functools

import keras

from keras_staa.ops import kernels, neuron, staa


def interpret(monkeypatch, machine="triton"):
    """Let neurons and aggregators take their kernels, and return the names of those that ran."""
    forget()

    def in_kernel(xla_on_cpu, elsewhere, **forms):
        return forms.get(machine, xla_on_cpu)

    for module in (neuron, staa):
        monkeypatch.setattr(module, "by_platform", in_kernel)
    return {"jax": _in_pallas, "torch": _in_triton}[keras.backend.backend()](monkeypatch)


def _in_pallas(monkeypatch):
    from keras_staa.ops.kernels.pallas import blocks

    ran, call = [], blocks.call

    @functools.wraps(call)
    def interpreted(kernel, grid, inputs, outputs, machine, name, interpret):
        ran.append(name)
        return call(kernel, grid, inputs, outputs, machine, name, True)

    monkeypatch.setattr(blocks, "call", interpreted)
    return ran


def _in_triton(monkeypatch):
    from keras_staa.ops import in_place
    from keras_staa.ops.kernels.torch import launch

    ran, run = [], launch.run

    @functools.wraps(run)
    def recorded(kernel, *arguments, **constants):
        module = kernel.fn.__module__.rpartition(".")[2]
        ran.append(module + {"_forward": "", "_backward": "_gradient"}[kernel.fn.__name__])
        return run(kernel, *arguments, **constants)

    monkeypatch.setattr(launch, "run", recorded)
    monkeypatch.setitem(kernels._HOLDS, "torch", lambda x: x.numel() > 0)
    monkeypatch.setattr(kernels, "wanted", lambda compiled: True)
    # The CPU plays a GPU, which has no operations in place.
    monkeypatch.setattr(in_place, "holds", lambda a: False)
    return ran


def small_blocks(monkeypatch):
    """Blocks so small that programs have several, and that the last ones are partly empty."""
    if keras.backend.backend() == "torch":
        from keras_staa.ops.kernels.torch import launch

        monkeypatch.setattr(launch, "ELEMENTS", {16: 16})
        monkeypatch.setattr(launch, "PROGRAMS", 2)
        return
    from keras_staa.ops.kernels.pallas import mosaic, summaries, triton

    monkeypatch.setattr(triton, "ELEMENTS", 16)
    monkeypatch.setattr(triton, "PROGRAMS", 2)
    monkeypatch.setattr(summaries, "BUSY", 2)
    monkeypatch.setattr(mosaic, "ROWS", {True: 4, False: 4})
    monkeypatch.setattr(mosaic, "MOST_ROWS", {True: 8, False: 8})


def forget():
    """Forget the functions made so far, and what was traced of them."""
    neuron._spiking.cache_clear()
    staa._summaries.cache_clear()
