"""Kernels for JAX on GPUs of NVIDIA and TPUs, written in Pallas."""

import functools


class Neuron:
    """The kernels of neurons for a machine."""

    def __init__(self, machine):
        from keras_staa.ops.kernels.pallas import neuron

        self.forward = functools.partial(neuron.forward, machine=machine)
        self.backward = functools.partial(neuron.backward, machine=machine)


def of_neuron(dynamics):
    """Return kernels for the machines that hold a neuron's dynamics."""
    from keras_staa.ops.kernels.pallas import mosaic, triton
    from keras_staa.ops.kernels.pallas.support import is_supported

    machines = {"triton": triton, "mosaic": mosaic}
    return {name: Neuron(one) for name, one in machines.items() if is_supported(dynamics, name)}


def of_summaries():
    """Return kernels for the machines that there are such for."""
    from keras_staa.ops.kernels.pallas import summaries

    return {"triton": summaries}
