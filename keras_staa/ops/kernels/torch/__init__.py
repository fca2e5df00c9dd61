"""Kernels for PyTorch on GPUs of NVIDIA, written in Triton."""


def of_neuron(dynamics):
    """Return kernels for the machines that hold a neuron's dynamics."""
    from keras_staa.ops.kernels.torch import equations, neuron

    return {} if equations.translated(dynamics) is None else {"triton": neuron}


def of_summaries():
    """Return kernels for the machines that there are such for."""
    from keras_staa.ops.kernels.torch import summaries

    return {"triton": summaries}
