"""The single-layer benchmark, dense and LIF, in every library of one backend.

Each function of a library takes the input (T, B, n) and the kernel (n, n), NumPy arrays, and
returns a function without arguments that runs forward and backward once and returns spikes and
the kernel's gradient. Forward, all but Spyx follow `V = 0.9 H + I` with a hard reset.
"""

import functools

import keras
import numpy as np

from libraries import ours

DECAY, SLOPE = 0.9, 2.0
OURS = "keras-staa"


def prepare(x, kernel):
    """Functions to time, by library."""
    backend = keras.backend.backend()
    name = {"torch": "PyTorch", "jax": "JAX", "tensorflow": "TensorFlow, jit_compile"}[backend]
    # On PyTorch a compiled loop of hundreds of steps is unrolled, and takes minutes to compile.
    runs = {f"{OURS}, {name}": ours.layer(x, kernel, DECAY, SLOPE, backend != "torch")}
    for library, create in _PEERS.get(backend, {}).items():
        runs[library] = create(x, kernel)
    return runs


def check(name, run):
    """Spikes (T, B, n) as booleans, and the gradient (n, n), of one run."""
    spikes, gradient = (keras.ops.convert_to_numpy(a) for a in run())
    swap = name.startswith(OURS)
    transposed = not swap and keras.backend.backend() == "torch"
    return (
        (spikes.swapaxes(0, 1) if swap else spikes) > 0,
        np.ascontiguousarray(gradient.T if transposed else gradient),
    )


def _linear(kernel, make=None):
    import torch

    linear = (make or torch.nn.Linear)(*kernel.shape, bias=False)
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(kernel.T))
    return linear


def _run(forward, x, linear):
    import torch

    x = torch.from_numpy(x)

    def run():
        spikes = forward(x)
        (gradient,) = torch.autograd.grad(spikes.sum(), linear.weight)
        return spikes.detach(), gradient

    return run


def spikingjelly(x, kernel):
    import torch
    from spikingjelly.activation_based import functional, layer, neuron, surrogate

    linear = _linear(kernel, functools.partial(layer.Linear, step_mode="m"))
    lif = neuron.LIFNode(
        tau=1 / (1 - DECAY),
        decay_input=False,
        surrogate_function=surrogate.ATan(SLOPE),
        detach_reset=True,
        step_mode="m",
    )
    model = torch.nn.Sequential(linear, lif)

    def forward(x):
        functional.reset_net(model)
        return model(x)

    return _run(forward, x, linear)


def snntorch(x, kernel):
    import snntorch
    import torch

    linear = _linear(kernel)
    lif = snntorch.Leaky(
        beta=DECAY, spike_grad=snntorch.surrogate.atan(SLOPE), reset_mechanism="zero"
    )

    def forward(x):
        membrane, spikes = lif.reset_mem(), []
        for current in linear(x):
            spike, membrane = lif(current, membrane)
            spikes.append(spike)
        return torch.stack(spikes)

    return _run(forward, x, linear)


def norse(x, kernel):
    import torch
    from norse.torch import LIFBoxCell, LIFBoxParameters, Lift

    # One step multiplies the current by dt / tau, here 1 - DECAY. The surrogate is Norse's own
    # and its gradient passes through the reset: neither is a setting.
    linear = _linear(kernel / (1 - DECAY))
    parameters = LIFBoxParameters(tau_mem_inv=torch.as_tensor((1 - DECAY) / 0.001))
    lif = Lift(LIFBoxCell(parameters, dt=0.001))
    return _run(lambda x: lif(linear(x))[0], x, linear)


def spyx(x, kernel):
    import jax
    import spyx
    from flax import nnx

    # Spikes come one step later and take the threshold away: not a setting either.
    lif = spyx.nn.LIF(kernel.shape[1:], beta=DECAY, activation=spyx.axn.arctan(), rngs=nnx.Rngs(0))
    x, kernel = jax.numpy.asarray(x), jax.numpy.asarray(kernel)

    @jax.jit
    def step(kernel, x):
        def loss(kernel):
            spikes = spyx.nn.run(lif, x @ kernel)[0]
            return spikes.sum(), spikes

        gradient, spikes = jax.grad(loss, has_aux=True)(kernel)
        return spikes, gradient

    return lambda: jax.block_until_ready(step(kernel, x))


_PEERS = {
    "torch": {"SpikingJelly": spikingjelly, "snnTorch": snntorch, "Norse": norse},
    "jax": {"Spyx": spyx},
}
