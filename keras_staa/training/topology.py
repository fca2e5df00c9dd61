"""A training step compiled for TPUs and GPUs that need not be there, with JAX.

The compiler says what the step takes on each chip: memory, operations and what chips exchange. It
says nothing of time.
"""

import os
import re

import keras

from keras_staa import _keras
from keras_staa.training import build, gpus, traffic

COLLECTIVES = (
    "all-gather",
    "all-reduce",
    "all-to-all",
    "collective-permute",
    "reduce-scatter",
    "collective-broadcast",
)
# What libtpu needs where there is no TPU, before it is loaded.
SETTINGS = {"TPU_SKIP_MDS_QUERY": "1", "ALLOW_MULTIPLE_LIBTPU_LOAD": "1"}


def devices(topology):
    """Return the chips of a topology as a mesh with one axis, `"batch"`.

    Args:
        topology: string: TPUs such as `"v5e:4x4"`, which libtpu compiles for; GPUs such as
            `"h100:1"`, which JAX's plugin for CUDA compiles for; or `"here"` for the devices of
            this process.

    Returns:
        A `jax.sharding.Mesh`.

    Raises:
        ValueError: if the backend is not JAX or there is no such topology.
        ImportError: if the compiler is not installed.
    """
    if keras.backend.backend() != "jax":
        raise ValueError(
            f"`topology` needs the backend 'jax'. Received: backend={keras.backend.backend()!r}"
        )
    import jax
    import numpy as np

    found = jax.devices() if topology == "here" else _described(topology)
    return jax.sharding.Mesh(np.array(found), ("batch",))


def _described(topology):
    import importlib.util

    if str(topology).partition(":")[0] in gpus.NAMES:
        return gpus.devices(topology)
    from jax.experimental import topologies

    if importlib.util.find_spec("libtpu") is None:
        raise ImportError("Programs for TPUs are compiled by libtpu: `pip install libtpu`.")
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    # One chip is a quarter of the smallest host.
    single = str(topology).rpartition(":")[2] in ("1x1", "1x1x1")
    more = {"chips_per_host_bounds": (1, 1, 1)} if single else {}
    try:
        return topologies.get_topology_desc(
            platform="tpu", topology_name=str(topology), **more
        ).devices
    except Exception as error:
        raise ValueError(
            f"`topology` must be such as 'v5e:4x4' or 'h100:1'. Received: topology={topology!r} "
            f"({error})"
        ) from error


def describe_recipe(recipe, topology, sample_shape, classes, remat=False, batch=None):
    """Return what the training step of a recipe, without a teacher, takes on each chip.

    Args:
        recipe: what `load_recipe` gives.
        topology: as in `devices`.
        sample_shape: shape of a sample, without the batch.
        classes: positive integer.
        remat: boolean, whether the network computes its stages again in the backward pass.
        batch: None, or the samples of all chips together, by default the batch of the recipe.

    Returns:
        What `describe_step` returns, with `chips` and `batch`, the samples of each chip.

    Raises:
        ValueError: if the chips do not divide the batch.
    """
    mesh = devices(topology)
    batch = recipe.training.batch_size if batch is None else batch
    if batch % mesh.size:
        raise ValueError(
            f"`training.batch_size` must be divided by the {mesh.size} chips of {topology}. "
            f"Received: {batch}"
        )
    recipe, before = build.without_teacher(recipe), keras.config.dtype_policy()
    keras.config.set_dtype_policy(recipe.training.policy)
    try:
        network = build.network(recipe, sample_shape, classes)
        if remat:
            network.rematerialize()
        optimizer = build.optimizer(recipe, network, 1)
        network.compile(optimizer, build.loss(recipe), metrics=[build.metric(recipe)])
        step = compile_step(network, mesh, batch, labels=(classes,))
    finally:
        keras.config.set_dtype_policy(before)
    return {"chips": mesh.size, "batch": batch // mesh.size, **describe_step(step)}


def compile_step(model, mesh, batch, sample_shape=None, labels=None):
    """Compile the training step of a compiled model, its batch split over the devices.

    Args:
        model, mesh, batch, sample_shape, labels: as in `step_of`.

    Returns:
        A `jax.stages.Compiled`.

    Raises:
        jaxlib.xla_extension.XlaRuntimeError: if the step does not fit into the memory of a chip.
    """
    return compile_for(mesh, *step_of(model, mesh, batch, sample_shape, labels))


def step_of(model, mesh, batch, sample_shape=None, labels=None, training=True):
    """Return the step of a compiled model that `fit` runs, and what it is called with.

    Args:
        model: a `keras.Model`, compiled.
        mesh: what `devices` returns.
        batch: positive integer, of all devices together.
        sample_shape: shape of a sample, by default that of the model's input.
        labels: shape of the label of a sample: `()` for integers, by default, or `(classes,)`.
        training: boolean. If False, it is the step that `predict` runs.

    Returns:
        What `jax.jit` returns, and a tuple of abstract arrays, split over the devices.
    """
    import jax
    from jax.sharding import NamedSharding, PartitionSpec

    whole = NamedSharding(mesh, PartitionSpec())
    split = NamedSharding(mesh, PartitionSpec("batch"))

    def abstract(tensor, sharding):
        return jax.ShapeDtypeStruct(tensor.shape, tensor.dtype, sharding=sharding)

    shape = model.input_shape[1:] if sample_shape is None else sample_shape
    x = jax.ShapeDtypeStruct((batch, *shape), "float32", sharding=split)
    if training:
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        kind = "float32" if labels else "int32"
        y = jax.ShapeDtypeStruct((batch, *(labels or ())), kind, sharding=split)
        step = jax.jit(model.train_step, donate_argnums=0, out_shardings=(None, whole))
        state, data = _keras.jax_state(model), (x, y)
    else:
        step = jax.jit(model.predict_step)
        state, data = _keras.jax_state(model, training=False), (x,)
    return step, (jax.tree.map(lambda tensor: abstract(tensor, whole), state), data)


def compile_for(mesh, function, arguments):
    """Compile what `jax.jit` returned for the devices of a mesh.

    Args:
        mesh: what `devices` returns.
        function: what `jax.jit` returns.
        arguments: tuple of `jax.ShapeDtypeStruct` with shardings of the mesh.
    """
    platform = mesh.devices.flat[0].platform
    # Lowering calls a device of the compiler for GPUs by another name.
    platform = {"gpu": "cuda"}.get(platform, platform)
    return function.trace(*arguments).lower(lowering_platforms=(platform,)).compile()


def operations(function, arguments):
    """Return the floating-point operations of a function, as it is written.

    Args:
        function, arguments: as in `compile_for`.
    """
    import jax

    plain = jax.tree.map(lambda array: jax.ShapeDtypeStruct(array.shape, array.dtype), arguments)
    # What `jax.jit` returned may name devices of which nothing can be asked.
    return jax.jit(function.__wrapped__).lower(*plain).cost_analysis()["flops"]


def describe_step(compiled):
    """Return what a compiled step takes on each device.

    Args:
        compiled: what `compile_step` returns.

    Returns:
        A dictionary: `memory` in bytes, and what of it is `temporary`; `bytes` read from and
        written to its memory; `flops`, None if the compiler does not say; `kernels`, how many are
        started, None for TPUs;
        `collectives`, name -> how often; `callbacks` to the host; `dynamic_shapes`; and
        `float32_convolutions` of the forward pass.
    """
    program, memory = compiled.as_text(), compiled.memory_analysis()
    costs = compiled.cost_analysis() or {}
    costs = costs[0] if isinstance(costs, list) else costs
    used = memory.argument_size_in_bytes + memory.output_size_in_bytes
    used += memory.temp_size_in_bytes - memory.alias_size_in_bytes
    # The compiler for GPUs counts nothing, and that for TPUs what stays on the chip as well.
    started = traffic.kernels(program)
    return {
        "memory": used,
        "temporary": memory.temp_size_in_bytes,
        "bytes": sum(k.bytes for k in started),
        "kernels": None if costs else len(started),
        "flops": costs.get("flops"),
        "collectives": collectives(program),
        "callbacks": len(
            re.findall(r"custom_call_target=\"[^\"]*callback|\b(?:infeed|outfeed)\(", program)
        ),
        "dynamic_shapes": len(re.findall(r"\[<=", program)),
        "float32_convolutions": float32_convolutions(program),
    }


def collectives(program):
    """Return name -> how often, of the operations that exchange something between devices."""
    found = re.findall(rf"= .*? ({'|'.join(COLLECTIVES)})(?:-start)?\(", program)
    return {name: found.count(name) for name in sorted(set(found))}


def float32_convolutions(program):
    """Return how many convolutions of the forward pass take float32 operands.

    The text of a program gives the type of a value where it is made.
    """
    made = dict(re.findall(r"^\s*(?:ROOT )?(%[\w.\-]+) = \(?(\w+)\[", program, re.MULTILINE))
    count = 0
    for line in program.splitlines():
        # The compiler makes convolutions of products of matrices too.
        match = re.search(r" convolution\(([^)]*)\).*conv_general_dilated", line)
        if match and "transpose(" not in line:
            operands = re.findall(r"(?:(\w+)\[[^ ]* )?(%[\w.\-]+)", match[1])
            count += any((kind or made.get(name)) == "f32" for kind, name in operands)
    return count
