"""Neurons on a CPU where PyTorch runs one operation after the other: in place, block by block.

What `keras_staa.ops.neuron` computes, in few operations that write into memory that is there
already. A block of samples goes through all steps while its potentials are in the cache.

The bound of infinite currents would be a pass of its own here, and so would spikes that are no
numbers. Both show in the potential of the last step, which is not finite then: such a batch is left
to the plain form.
"""

import math
import threading

import torch

from keras_staa.ops.portable import is_portable

# Elements of one step of a block, and of all potentials of a block that its gradient needs.
STEP = 1 << 17
POTENTIALS = 1 << 20
# With fewer elements the start of an operation takes longer than its work.
LEAST = 1 << 15
# Up to this many numbers of scratch memory are kept: to touch new memory for the first time takes
# longer than all operations on it.
KEPT = 1 << 22
_THREAD = threading.local()
DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def holds(a):
    """Whether this form can take the place of the plain one.

    Args:
        a: what a call of the neuron gets, as `keras_staa.ops.neuron` has it.
    """
    return a.scale is None and is_plain(a.current)


def is_plain(x):
    """Whether operations on a tensor just run, on a CPU, one after the other."""
    if x.device.type != "cpu" or x.dtype not in DTYPES:
        return False
    return x.numel() > 0 and not _recorded()


def _recorded():
    """Whether operations are recorded or changed by what is around them, and not just run."""
    if torch.compiler.is_compiling() or is_portable() or torch._C._len_torch_dispatch_stack():
        return True
    return torch._ops.mode_stack_state_for_pre_dispatch().count() > 0


def forward(rules, a):
    """Return the spikes, or None for a batch that is left to the plain form.

    Args:
        rules: what happens at the threshold, as `keras_staa.ops.leaky_in_place.Rules`.
        a: as in `holds`.
    """
    call = _Call(rules, a)
    if call.one and call.encoding is None and call.steps == 1:
        spikes = rules.spikes_of_one_step(a.current)
        if spikes is not None:
            return spikes
    out = torch.empty(a.current.shape, dtype=a.current.dtype)
    spikes, last = call.flat(out), []
    for block, (v_of, s_of, h_of) in call.blocks(STEP, 3):
        h = None
        for t, written in enumerate(block.of(spikes)):
            v = block.potential(t, h, v_of)
            s = rules.fired(v, written if call.is_float else s_of)
            if not call.is_float:
                written.copy_(s)
            if t + 1 < call.steps:
                h = rules.after(v, s, h_of)
        last.append(v.sum())
    return out if _finite(last) else None


def backward(rules, a, g):
    """Return the gradients of current, decay and gain, or None as in `forward`.

    Args:
        rules, a: as in `forward`, which gave spikes for them.
        g: the gradient of the spikes.
    """
    call = _Call(rules, a)
    if call.one and call.encoding is None and call.steps == 1:
        dx = rules.gradient_of_one_step(a.current, g)
        if dx is not None:
            return dx, None, None
    out = torch.empty(a.current.shape, dtype=a.current.dtype)
    dx, g = call.flat(out), call.flat(g)
    sums = None if call.fixed else _Sums(call)
    size = min(STEP, max(LEAST, POTENTIALS // call.steps))
    # Where there are gains, the currents are needed once more.
    for block, buffers in call.blocks(size, 3 + call.steps + (0 if call.fixed else 2 + call.steps)):
        spare, *gradients = buffers[:3]
        drives, vs, h = [], [], None
        for t in range(call.steps):
            if not call.fixed:
                drives.append(block.drive(t, buffers[5 + t]))
            vs.append(block.potential(t, h, buffers[-1 - t], *drives[t:]))
            h = rules.again(vs[t], spare) if t + 1 < call.steps else None
        given, written, dh = block.of(g), block.of(dx), None
        for t in reversed(range(call.steps)):
            at_once = call.is_float and call.one
            dv = written[t] if at_once else gradients[t % 2]
            source = given[t] if call.is_float else dv.copy_(given[t])
            rules.gradient(source, dh, call.decay, vs[t], spare, dv)
            if sums is not None:
                h = rules.again(vs[t - 1], spare) if t else None
                sums.add_decay(t, dv, h, buffers[3])
                sums.add_gain(t, dv, drives[t], spare, buffers[4], block)
            if not call.one:
                written[t].copy_(torch.mul(dv, block.gain(t), out=spare))
            elif not at_once:
                written[t].copy_(dv)
            dh = dv
        if sums is not None:
            sums.close(buffers[3], buffers[4])
    found = (None, None) if sums is None else (sums.decay, sums.gain)
    # An infinite current that a slope of zero stands before.
    return (out, *found) if sums is None or _finite([part.sum() for part in found]) else None


class _Call:
    """The inputs of one call, of the axes (B, T, places, channels)."""

    def __init__(self, rules, a):
        x = a.current
        self.batch, self.steps, *space = x.shape
        self.channels = space.pop() if space else 1
        self.places = math.prod(space)
        self.x, self.is_float = self.flat(x), x.dtype == torch.float32
        self.decay, self.gain, self.gated, self.limit = a.decay, a.gain, a.gated, rules.limit
        self.encoding = None
        if a.encoding is not None:
            self.encoding = self.flat(a.encoding.to(torch.float32)[None])[0]
        self.keep = a.keep
        # All kept or none, as most blocks are, needs no product.
        self.kept = None if a.keep is None else a.keep.tolist()
        self.fixed = isinstance(a.gain, float)
        self.one = self.fixed and a.gain == 1.0
        # A product that is added at once is not rounded, which an exact one is not anyway.
        self.at_once = isinstance(a.decay, float) and _is_exact(a.decay)

    def flat(self, tensor):
        """Return a tensor of the shape of the current with the axes (B, T, places, channels)."""
        return tensor.reshape(len(tensor), self.steps, self.places, self.channels)

    def blocks(self, elements, count):
        """Yield blocks and `count` float32 tensors of the shape of one step of them."""
        size = self.places * self.channels
        samples = min(self.batch, max(1, elements // size))
        places = self.places if size <= 2 * elements else max(1, elements // self.channels)
        memory = _memory(count, samples * places * self.channels)
        for b in range(0, self.batch, samples):
            for p in range(0, self.places, places):
                block = _Block(self, slice(b, b + samples), slice(p, p + places))
                shape = block.x[0].shape
                yield block, [row[: shape.numel()].view(shape) for row in memory]


class _Block:
    """Some samples and places of a call, step by step."""

    def __init__(self, call, samples, places):
        self.call, self.samples, self.places = call, samples, places
        self.x = self.of(call.x)
        self.encoding = self.keep = None
        if call.encoding is not None:
            self.encoding = call.encoding[:, places].unbind(0)
            if call.keep is not None:
                self.keep = call.keep[samples, :, None, None].unbind(1)
                self.kept = [set(step) for step in zip(*call.kept[samples], strict=True)]
        self.gains = call.gain[samples, :, None].unbind(1) if call.gated else None

    def of(self, tensor):
        """Return what a tensor (B, T, places, channels) has of the block, one tensor a step."""
        return tensor[self.samples, :, self.places].unbind(1)

    def gain(self, t):
        return self.gains[t] if self.gains else self.call.gain

    def drive(self, t, out):
        """Return `I[t] + keep[t] * E[t]`, in `out` but where it is in memory as it is."""
        call = self.call
        if self.encoding is None and call.limit is None and call.is_float:
            return self.x[t]
        out.copy_(self.x[t])
        if self.keep is not None and self.kept[t] != {1.0}:
            if self.kept[t] != {0.0}:
                out.addcmul_(self.encoding[t], self.keep[t])
        elif self.encoding is not None:
            out.add_(self.encoding[t])
        return out if call.limit is None else out.clamp_(-call.limit, call.limit)

    def potential(self, t, h, out, drive=None):
        """Return V[t], in `out` but where it is in memory as it is. It overwrites h."""
        call = self.call
        drive = self.drive(t, out) if drive is None else drive
        if not call.one:
            drive = torch.mul(drive, self.gain(t), out=out)
        if h is None:
            return drive
        if call.at_once:
            return torch.add(drive, h, alpha=call.decay, out=out)
        return torch.add(drive, h.mul_(call.decay), out=out)


class _Sums:
    """The gradients of decay and gain."""

    def __init__(self, call):
        self.call = call
        self.decay = torch.zeros(call.channels)
        self.gain = torch.zeros_like(call.gain)

    def add_decay(self, t, dv, h, products):
        """Add the products with the potential of the step before, which the first one has not."""
        if h is not None:
            self._add(t, dv, h, products)

    def add_gain(self, t, dv, drive, spare, products, block):
        """Add the products with the current."""
        if self.call.gated:
            self.gain[block.samples, t] += torch.mul(dv, drive, out=spare).sum(1)
        else:
            self._add(t, dv, drive, products)

    def _add(self, t, x, y, products):
        if t + 1 == self.call.steps:
            torch.mul(x, y, out=products)
        else:
            products.addcmul_(x, y)

    def close(self, of_decay, of_gain):
        """Add up the products of a block."""
        if self.call.steps > 1:
            self.decay += of_decay.sum((0, 1))
        if not self.call.gated:
            self.gain += of_gain.sum((0, 1))


def _memory(rows, size):
    """Return a float32 tensor (rows, size) to overwrite, until the next call in this thread."""
    if rows * size > KEPT:
        return torch.empty(rows, size)
    if not hasattr(_THREAD, "memory"):
        _THREAD.memory = torch.empty(0)
    if _THREAD.memory.numel() < rows * size:
        _THREAD.memory = torch.empty(rows * size)
    return _THREAD.memory[: rows * size].view(rows, size)


def _is_exact(factor):
    """Whether a product with a float is exact, but for underflow."""
    return factor == 0.0 or abs(math.frexp(factor)[0]) == 0.5


def _finite(values):
    return bool(torch.isfinite(torch.stack(values)).all())
