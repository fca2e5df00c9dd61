"""Kernels on a batch that is split over devices."""

import functools

import jax
from jax.experimental.custom_partitioning import custom_partitioning
from jax.extend.core import Primitive
from jax.interpreters import mlir
from jax.sharding import NamedSharding, PartitionSpec


def over_batch(function, inputs, outputs):
    """Return a function that runs on each device's part of a batch, without exchanging tensors.

    The compiler knows nothing of what a kernel does, and would gather the batch on every device.

    Args:
        function: function of tensors that returns a tuple of tensors.
        inputs: list of booleans, whether the first axis of each input is the batch. One at least.
        outputs: the same of the outputs. The others are sums over the batch: those of the devices
            are added.

    Returns:
        A function of the same tensors, with the same results.
    """

    def partition(mesh, arguments, results):
        first = next(a for a, batched in zip(arguments, inputs, strict=True) if batched)
        spec = first.sharding.spec
        axes = spec[0] if len(spec) else None

        def local(*tensors):
            found = function(*tensors)
            if axes is None:
                return found
            return tuple(
                tensor if batched else jax.lax.psum(tensor, axes)
                for tensor, batched in zip(found, outputs, strict=True)
            )

        def shardings(kinds):
            return tuple(
                NamedSharding(mesh, PartitionSpec(axes) if b else PartitionSpec()) for b in kinds
            )

        return mesh, local, shardings(outputs), shardings(inputs)

    def infer(mesh, arguments, results):
        return partition(mesh, arguments, results)[2]

    def call(*tensors):
        results = jax.eval_shape(function, *tensors)
        names, rule = [], []
        for kinds, parts in ((inputs, tensors), (outputs, results)):
            texts = []
            for batched, part in zip(kinds, parts, strict=True):
                own = [f"n{len(names) + i}" for i in range(part.ndim - batched)]
                names += own
                texts.append(" ".join(["b"] * batched + own))
            rule.append(", ".join(texts))
        wrapped = custom_partitioning(function)
        wrapped.def_partition(
            partition=partition,
            infer_sharding_from_operands=infer,
            sharding_rule=" -> ".join(rule),
            need_replication_factors=tuple(names),
        )
        return wrapped(*tensors)

    return call


def on_one_device(kernel, plain):
    """Return a function that is `kernel` in programs for one device, and `plain` in the others.

    What `over_batch` asks of a compiler, that for TPUs does not do:
    https://github.com/jax-ml/jax/issues/38196

    Args:
        kernel, plain: functions of the same tensors, with results of the same shapes and dtypes.
    """

    def call(*tensors):
        leaves, tree = jax.tree.flatten(jax.eval_shape(plain, *tensors))
        shapes = tuple((leaf.shape, leaf.dtype) for leaf in leaves)
        found = _ONE_DEVICE.bind(*tensors, kernel=kernel, plain=plain, shapes=shapes)
        return jax.tree.unflatten(tree, found)

    return call


_ONE_DEVICE = Primitive("keras_staa_one_device")
_ONE_DEVICE.multiple_results = True


@_ONE_DEVICE.def_abstract_eval
def _shapes(*tensors, kernel, plain, shapes):
    return [jax.core.ShapedArray(*pair) for pair in shapes]


@_ONE_DEVICE.def_impl
def _run(*tensors, **parameters):
    return jax.jit(functools.partial(_ONE_DEVICE.bind, **parameters))(*tensors)


def _lower(context, *tensors, kernel, plain, shapes):
    devices = getattr(context.module_context.axis_context, "num_devices", None)
    chosen = kernel if devices == 1 else plain
    run = mlir.lower_fun(lambda *given: jax.tree.leaves(chosen(*given)), multiple_results=True)
    return run(context, *tensors)


mlir.register_lowering(_ONE_DEVICE, _lower)
