"""Kernels for JAX on GPUs of NVIDIA and TPUs, written in Pallas."""

import functools

from keras_staa.ops.kernels.pallas import mosaic, neuron, summaries, triton
from keras_staa.ops.kernels.pallas.support import is_supported

_MACHINES = {"triton": triton, "mosaic": mosaic}


class Neuron:
    """The kernels of neurons for a machine."""

    def __init__(self, machine):
        self.forward = functools.partial(neuron.forward, machine=machine)
        self.backward = functools.partial(neuron.backward, machine=machine)


def of_neuron(dynamics):
    """Return kernels for the machines that hold a neuron's dynamics."""
    return {n: Neuron(machine) for n, machine in _MACHINES.items() if is_supported(dynamics, n)}


def of_summaries():
    """Return kernels for the machines that there are such for."""
    return {"triton": summaries}
