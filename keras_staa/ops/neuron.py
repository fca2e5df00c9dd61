"""Neurons with one hand-written gradient around the loop over time.

What happens at the threshold is a `Dynamics`; the loop, its gradient, the gates of the aggregator
and compilation are here, for every neuron whose potential is linear in the one before and in the
current.
"""

import functools

import keras
from keras import ops

from keras_staa.ops import kernels
from keras_staa.ops.blocks import over_blocks
from keras_staa.ops.gradient import by_itself, separated, with_backward
from keras_staa.ops.input_gradients import at_once, by_steps, line_sums, sum_to, zeros
from keras_staa.ops.inputs import Inputs, times
from keras_staa.ops.portable import is_portable
from keras_staa.ops.sums import by_platform
from keras_staa.ops.threshold import is_hashable

_TORCH = keras.backend.backend() == "torch"
if _TORCH:
    from keras_staa.ops import in_place

# Above this many steps the loop rolls into `ops.scan`: an unrolled loop is faster to run and takes
# less memory, but XLA takes 25 s to compile 64 steps of it.
UNROLLED_STEPS = 16


class Dynamics:
    """What a neuron with `V[t] = decay * H[t-1] + gain * I[t]` does at its threshold.

    A subclass gives four functions of float32 tensors of one time step, or of all of them. Make it
    hashable, as a frozen dataclass or a named tuple is: equal dynamics are compiled once.
    """

    def fired(self, v):
        """1 where the potential reaches the threshold, 0 where not, as the others take it."""
        raise NotImplementedError

    def spikes(self, v, s):
        """Return the spikes, which are NaN where the potential is; `s` is `fired(v)`."""
        raise NotImplementedError

    def after(self, v, s):
        """H, the potential after the reset."""
        raise NotImplementedError

    def potential_gradient(self, g, dh, v, s):
        """dV from the gradients of the spikes and of H, which is None in the last step."""
        raise NotImplementedError

    def in_place(self):
        """Return the same as operations in place, for PyTorch on a CPU, or None for none.

        See `keras_staa.ops.in_place`. What is None computes as the functions above say.
        """
        return None


def spiking(dynamics, constants=None, compiled=False):
    """Return the function of a neuron, made once and called often, as compilers want it.

    Equal arguments give the same function, so that equal layers are compiled once.

    Args:
        dynamics: a `Dynamics`.
        constants: (decay, gain), two floats, or None where they are tensors.
        compiled: as in `with_backward`.

    Returns:
        A function `(current) -> spikes`, or `(current, decay, gain, encoding=None, keep=None) ->
        spikes` without constants. For a current (B, T, H, W, C) the gain may be (B, T, C), as the
        gates of the aggregator make it; `encoding` (T, H, W, C) is added to the current in the
        steps where `keep`, float32 (B, T), is 1 and not 0. Both have no gradient here: that of
        `encoding` is the sum over the batch of the current's, in the steps that are kept. With
        `scale` and `shift`, float32 (C,), the current is `current * scale + shift`, with gradients
        as `keras_staa.ops.affine` has them; behind gates, scale and shift have none here.
    """
    make = _spiking if is_hashable(dynamics) else _spiking.__wrapped__
    return make(dynamics, constants, compiled)


@functools.cache
def _spiking(dynamics, constants, compiled):
    fixed = constants is not None
    rules = dynamics.in_place() if _TORCH else None

    def unrolled(a, h=None):
        """V[t] and where it fires, one step after the other, from H before the first."""
        for t in range(a.steps):
            v = times(a.gain_at(t), a.encoded(t))
            v = v if h is None else v + times(a.decay, h)
            s = dynamics.fired(v)
            yield v, s
            h = dynamics.after(v, s) if t + 1 < a.steps else None

    def rolled(a):
        """V of all steps, time first."""

        def step(h, y):
            v = y + times(a.decay, h)
            return dynamics.after(v, dynamics.fired(v)), v

        driven = _swap_time(times(a.all_gains(), a.all_encoded()))
        # With the length, XLA on TensorFlow knows it too.
        return ops.scan(step, _zeros_like_step(a.current), driven, length=a.steps)[1]

    def forward(a):
        dtype = a.current.dtype
        if a.steps > UNROLLED_STEPS:
            v = rolled(a)
            return _swap_time(ops.cast(dynamics.spikes(v, dynamics.fired(v)), dtype))
        return ops.stack([ops.cast(dynamics.spikes(v, s), dtype) for v, s in unrolled(a)], axis=1)

    def unrolled_backward(a, g, h=None, dh=None):
        """dV of all steps, and what dM is the sum of, already summed over the steps.

        `h` is H before the first step, and `dh` the gradient of H after the last.
        """
        vs, dvs, dm = list(unrolled(a, h)), [None] * a.steps, None
        for t in reversed(range(a.steps)):
            dvs[t] = dynamics.potential_gradient(g[:, t], dh, *vs[t])
            if (t or h is not None) and not fixed:
                product = dvs[t] * (dynamics.after(*vs[t - 1]) if t else h)
                dm = product if dm is None else dm + product
            dh = times(a.decay, dvs[t]) if t else None
        return dvs, dm

    def rolled_backward(a, g):
        vs = rolled(a)

        def step(dh, inputs):
            g, v = inputs
            dv = dynamics.potential_gradient(g, dh, v, dynamics.fired(v))
            return times(a.decay, dv), dv

        given = _swap_time(g), vs
        start = _zeros_like_step(a.current)
        dvs = ops.scan(step, start, given, length=a.steps, reverse=True)[1]
        if fixed:
            return dvs, None
        return dvs, dvs[1:] * dynamics.after(vs[:-1], dynamics.fired(vs[:-1]))

    def backward(a, g):
        many = a.steps > UNROLLED_STEPS
        return gradients(a, *(rolled_backward if many else unrolled_backward)(a, g))

    def gradients(a, dvs, dm):
        """Return the gradients of the inputs."""
        dx, dn = (by_steps if isinstance(dvs, list) and _TORCH else at_once)(a, dvs)
        none = zeros(a.encoding, a.keep)
        if fixed:
            return dx, None, None, *none, *line_sums(a, dx)
        dm = ops.zeros_like(a.decay) if dm is None else sum_to(dm, a.decay)
        return dx, dm, dn, *none, *line_sums(a, dx)

    def join(names, compiled, in_blocks):
        """Forward and backward for the inputs of these names."""

        def inputs(tensors):
            given = dict(zip(names, tensors, strict=True))
            if fixed:
                given["decay"], given["gain"] = constants
            return Inputs(**given)

        def named(gradients):
            given = Inputs(*gradients)._asdict()
            return tuple(given[name] for name in names)

        def chosen(plain, in_kernel, tensors, left):
            """Return what to call with the tensors: the plain form on machines `left` to it."""
            a, held = inputs(tensors), {}
            if a.steps <= UNROLLED_STEPS and kernels.wanted(compiled):
                held = kernels.of_neuron(dynamics, a)
            leave = left(a)
            forms = {n: kernels.form(n, in_kernel[n], plain) for n in held if n not in leave}
            return by_platform(plain, plain, **forms)

        if in_blocks:

            def block(h, *tensors):
                a = inputs(tensors)
                found = list(unrolled(a, h))
                spikes = [ops.cast(dynamics.spikes(v, s), a.current.dtype) for v, s in found]
                return ops.stack(spikes, axis=1), dynamics.after(*found[-1])

            def block_gradient(h, dh, g, *tensors):
                a = inputs(tensors)
                dvs, dm = unrolled_backward(a, g, h, dh)
                return times(a.decay, dvs[0]), *named(gradients(a, dvs, dm))

            programs = by_itself(block, compiled), by_itself(block_gradient, compiled)
            return with_backward(*over_blocks(*programs, names), compiled)

        plain = by_itself(lambda *tensors: forward(inputs(tensors)), compiled)
        plain_gradient = by_itself(
            separated(lambda g, *tensors: named(backward(inputs(tensors), g))), compiled
        )

        def in_kernel(name):
            @kernels.shared
            def neuron(*tensors):
                a = inputs(tensors)
                return kernels.of_neuron(dynamics, a)[name].forward(dynamics, a)

            return neuron

        def gradient_in_kernel(name):
            @kernels.shared
            def neuron_gradient(g, *tensors):
                a = inputs(tensors)
                dx, dm, dn, *line = kernels.of_neuron(dynamics, a)[name].backward(dynamics, a, g)
                none = zeros(a.encoding, a.keep)
                return named((dx, dm, dn, *none, *(line or line_sums(a, dx))))

            return neuron_gradient

        forwards = {name: in_kernel(name) for name in kernels.MACHINES}
        backwards = {name: gradient_in_kernel(name) for name in kernels.MACHINES}

        def spikes(*tensors):
            a = inputs(tensors)
            if rules is not None and not compiled and in_place.holds(a):
                found = in_place.forward(rules, a)
                if found is not None:
                    # The mark says to the gradient that it may go this way as well.
                    return found, (*tensors, found.new_empty(0))
            return chosen(plain, forwards, tensors, kernels.left_forward)(*tensors), tensors

        def gradient(tensors, g):
            tensors, marked = tensors[: len(names)], len(tensors) > len(names)
            if marked:
                a = inputs(tensors)
                found = in_place.backward(rules, a, g)
                if found is not None:
                    return named((*found, *zeros(a.encoding, a.keep), None, None))
            function = chosen(plain_gradient, backwards, tensors, kernels.left_backward)
            return function(g, *tensors)

        return with_backward(spikes, gradient, compiled)

    functions = {}

    def joined(*key):
        if key not in functions:
            functions[key] = join(*key)
        return functions[key]

    def call(*args, **kwargs):
        given = {n: v for n, v in Inputs(*args, **kwargs)._asdict().items() if v is not None}
        alone = compiled and not is_portable()
        in_blocks = alone and _TORCH and given["current"].shape[1] > UNROLLED_STEPS
        # PyTorch has nothing to keep when it compiles nothing, and `torch.compile` wants no change
        # of a dictionary.
        function = join if _TORCH and not alone else joined
        return function(tuple(given), alone, in_blocks)(*given.values())

    return call


def _zeros_like_step(x):
    return ops.cast(ops.zeros_like(x[:, 0]), "float32")


def _swap_time(x):
    return ops.swapaxes(x, 0, 1)
