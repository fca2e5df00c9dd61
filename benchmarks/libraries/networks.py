"""The plain LIF STAAResNet19 in every library of one backend, ready to be timed."""

import contextlib
import time

import keras
import numpy as np

from libraries import ours

RATE, MOMENTUM = 0.01, 0.9


def prepare(width, steps, batch, images, weights=None):
    """Build the networks of this process's backend.

    Returns:
        (runs, checks, weights): functions to time by (library, "train" or "predict"); by library
        the logits of the batch, and the gradients of the first kernel in training on each of the
        first `images` images alone; and the weights that all networks have.
    """
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x = rng.random((batch, 32, 32, 3), "float32")
    y = rng.integers(0, 10, batch)
    singles = [(x[i : i + 1], y[i : i + 1]) for i in range(images)]
    runs, checks = {}, {}
    backend = keras.backend.backend()
    for name, jit in ours.VARIANTS[backend].items():
        model = ours.network(width, steps, jit, RATE, MOMENTUM)
        if weights is None:
            weights = ours.scattered(ours.weights(model))
        ours.load(model, weights)
        logits = model.predict_on_batch(x)
        checks[name] = logits, [ours.first_gradient(model, *single) for single in singles]
        ours.load(model, weights)
        given = keras.ops.convert_to_tensor(x), keras.ops.convert_to_tensor(y)
        runs[name, "train"] = lambda model=model, given=given: model.train_on_batch(*given)
        runs[name, "predict"] = lambda model=model, given=given: model.predict_on_batch(given[0])
    if backend == "torch":
        for name, neurons in PEERS.items():
            found = _peer(neurons, width, steps, weights, x, y, singles)
            layout = found["layout"]
            checks[f"{name}, {layout}"] = found["check"]
            for what in ("train", "predict"):
                runs[f"{name}, {layout}", what] = found[what]
            if neurons is spikingjelly:
                compiled = _runs(neurons, width, steps, weights, x, y, layout, compiled=True)
                runs[f"{name}, {layout}, torch.compile", "train"] = compiled[1]
                runs[f"{name}, {layout}, torch.compile", "predict"] = compiled[2]
    return runs, checks, weights


def resident(name, width, steps, batch, attention=False, remat=False):
    """Bytes by which this process, which must be a fresh one, grows in two training steps.

    `name` is a library: `keras-staa` means this process's backend.
    """
    from memory import growth
    from memory import resident as of_model

    if name == "keras-staa":
        options = {"attention": attention, "remat": remat}
        return of_model(ours.network(width, steps, False, RATE, MOMENTUM, **options), batch)
    weights = ours.weights(ours.network(width, steps))
    rng, neurons = np.random.default_rng(0), PEERS[name]
    x = rng.random((batch, 32, 32, 3), "float32")
    y = rng.integers(0, 10, batch)
    # What a first step loads does not count.
    _runs(neurons, width, steps, weights, x[:1], y[:1], "channels last")[1]()
    return growth(_runs(neurons, width, steps, weights, x, y, "channels last")[1])


def spikingjelly():
    from spikingjelly.activation_based import neuron, surrogate

    return neuron.LIFNode(
        tau=1 / (1 - ours.DECAY),
        decay_input=False,
        surrogate_function=surrogate.ATan(ours.SLOPE),
        detach_reset=True,
        step_mode="m",
    )


def snntorch():
    import snntorch
    import torch

    class Leaky(torch.nn.Module):
        def __init__(self):
            super().__init__()
            # The reset that comes a step later is the same dynamics: it is the decayed potential
            # that it takes away.
            self.leaky = snntorch.Leaky(
                beta=ours.DECAY,
                spike_grad=snntorch.surrogate.atan(ours.SLOPE),
                reset_mechanism="zero",
            )

        def forward(self, x):
            membrane, spikes = self.leaky.reset_mem(), []
            for current in x:
                spike, membrane = self.leaky(current, membrane)
                spikes.append(spike)
            return torch.stack(spikes)

    return Leaky()


PEERS = {"SpikingJelly": spikingjelly, "snnTorch": snntorch}


def _peer(neurons, width, steps, weights, x, y, singles):
    """Run in the faster of the two memory layouts, and what the agreement is checked on."""
    model, _, predict = _runs(neurons, width, steps, weights, x, y, "contiguous")
    check = predict(), [_first_gradient(model, *single) for single in singles]
    timed = {}
    for layout in ("contiguous", "channels last"):
        train, predict = _runs(neurons, width, steps, weights, x, y, layout)[1:]
        train()
        seconds = []
        for _ in range(2):
            start = time.perf_counter()
            train()
            seconds.append(time.perf_counter() - start)
        timed[min(seconds)] = {"layout": layout, "train": train, "predict": predict}
    return {**timed[min(timed)], "check": check}


def _runs(neurons, width, steps, weights, x, y, layout, compiled=False):
    """Return a network of another library, its training step and its inference."""
    import torch

    from libraries import resnet

    formats = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}
    model = resnet.ResNet19(neurons, width, steps)
    resnet.load(model, weights)
    model = model.to(memory_format=formats[layout])
    optimizer = torch.optim.SGD(model.parameters(), RATE, momentum=MOMENTUM, nesterov=True)
    call = torch.compile(model) if compiled else model
    images = torch.from_numpy(x).permute(0, 3, 1, 2).contiguous(memory_format=formats[layout])
    labels = torch.from_numpy(y)

    def train():
        model.train()
        _reset(model)
        loss = torch.nn.functional.cross_entropy(call(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    def predict():
        model.eval()
        _reset(model)
        with torch.no_grad():
            return call(images).numpy()

    return model, train, predict


def _reset(model):
    with contextlib.suppress(ImportError):
        from spikingjelly.activation_based import functional

        functional.reset_net(model)


def _first_gradient(model, x, y):
    import torch

    model.train()
    _reset(model)
    logits = model(torch.from_numpy(x).permute(0, 3, 1, 2).contiguous())
    loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(y))
    (gradient,) = torch.autograd.grad(loss, model.stem.conv.weight)
    return gradient.numpy().transpose(2, 3, 1, 0)
