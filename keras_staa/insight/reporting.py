"""`report`: firing rates, operations and energy of a network on data."""

import dataclasses
import math

import keras
import numpy as np

from keras_staa import _keras, checks
from keras_staa.insight import connections, energy, finding, watching
from keras_staa.insight.energy import Costs
from keras_staa.insight.results import LayerReport, Report
from keras_staa.layers.staa_neurons import SPIKING


def report(
    model,
    x,
    batch_size=32,
    energy_mac=4.6,
    energy_ac=0.9,
    memory=False,
    energy_byte=12.5,
    verbose=1,
):
    """Count what a network does on data: spikes, synaptic operations, multiplications, energy.

    A synaptic operation is one addition for one spike at one connection. They are counted: each
    spike that goes into a convolution or a Dense layer counts for as many outputs as it reaches,
    so that padding, strides and shortcuts are right. Where the values that go in are not all 0 or
    1, as in the first layer, every connection is a multiplication and addition (MAC). Batch
    normalization counts as part of the convolutions, as `keras_staa.fuse` makes it, and the
    neurons' own arithmetic is left out.

    The ReLU network has the same layers, real numbers between them, and no time steps: one pass
    for an image, one for each frame of a sample with frames.

    Args:
        model: a built functional or sequential `keras.Model` with neurons of this library.
        x: samples: an array, or an iterable of batches as `fit` takes it, such as what
            `keras_staa.data` gives. Labels are ignored.
        batch_size: positive integer, for arrays.
        energy_mac: picojoules of a multiplication and addition. Default: 32 bits in 45 nm.
        energy_ac: picojoules of an addition.
        memory: whether to add the energy of reading and writing weights, spikes, membrane
            potentials and activations.
        energy_byte: picojoules to read or write a byte. Default: a memory of 1 MB on the chip.
        verbose: 1 shows a progress bar, 0 does not.

    Returns:
        A `Report`. `print(report)` shows a table.

    Raises:
        ValueError: for a model without neurons of this library or that is not functional, samples
            of another shape, no samples, or values that are not numbers.

    Example:

    >>> import keras_staa
    >>> model = keras_staa.STAAVGG(width=8, steps=2)
    >>> found = report(model, np.random.rand(4, 32, 32, 3).astype("float32"), verbose=0)
    >>> found.samples, found.layers[0].name, found.layers[0].input
    (4, 'stage1_1_conv', 'real')

    Source: energies from Horowitz, ISSCC 2014, as the paper's field uses them.
    """
    finding.check_spiking(model)
    costs = Costs(
        checks.positive("energy_mac", energy_mac),
        checks.positive("energy_ac", energy_ac),
        checks.positive("energy_byte", energy_byte),
        checks.boolean("memory", memory),
    )
    batch_size = checks.positive_int("batch_size", batch_size)
    watched = watching.Watched(model, _look)
    sums, samples = _run(watched, model, x, batch_size, verbose)
    return _report(model, watched.calls, sums, samples, costs)


def _look(layer):
    """Return what to look at in a call of a layer."""
    if connections.is_counted(watching.inner(layer)):
        return lambda x, y: watching.of_inputs(x, watching.has_steps(layer))
    if isinstance(layer, SPIKING):
        return lambda x, y: watching.of_spikes(y)
    if isinstance(layer, watching.AGGREGATORS):
        return lambda x, y: {}
    return None


def _run(watched, model, x, batch_size, verbose):
    """Return the sums over all batches, in float64, and the number of samples."""
    batches, total = watching.batches_of(x, batch_size), watching.count_batches(x, batch_size)
    totals, samples = None, 0
    for batch in watching.checked(batches, model, total, verbose):
        found = watched.predict_on_batch(batch)
        found = keras.tree.map_structure(lambda v: np.asarray(v, "float64"), found)
        if totals is None:
            totals = found
        else:
            totals = {
                name: {
                    key: np.minimum(part[key], value) if key == "binary" else part[key] + value
                    for key, value in found[name].items()
                }
                for name, part in totals.items()
            }
        samples += len(batch)
    return totals, samples


def _report(model, calls, sums, samples, costs):
    frames = model.input_shape[1] if len(model.input_shape) == 5 else 1
    stages, rows, counted = _stages(model), [], set()
    for name, call in calls.items():
        layer = call.layer
        if connections.is_counted(watching.inner(layer)):
            row = _weighted(call, sums[name], samples, frames)
        else:
            row = _neurons(call, sums[name], samples)
        # A layer that is called twice has its weights once.
        parameters = 0 if id(layer) in counted else layer.count_params()
        counted.add(id(layer))
        given = {"stage": stages.get(layer.name), "parameters": parameters}
        one = LayerReport(name, **row, **given)
        spent, relu = costs.energy(one)
        rows.append(dataclasses.replace(one, energy=spent, relu_energy=relu))
    steps = max((row.steps for row in rows if row.neurons), default=1)
    skipped = _skipped(model, [call.layer for call in calls.values()])
    return Report(model.name, samples, steps, tuple(rows), costs, skipped)


def _neurons(call, found, samples):
    """Return what neurons or an aggregator do, or both in one layer, for one sample."""
    staa, values = getattr(call.layer, "staa", call.layer), math.prod(call.inputs)
    aggregated = isinstance(staa, watching.AGGREGATORS)
    if isinstance(call.layer, SPIKING):
        row = watching.firing(found["counts"], samples)
        row["bytes"] = energy.bytes_of_neurons(values, aggregated)
    else:
        row = {"kind": "attention", "steps": call.inputs[0]}
        row["bytes"] = energy.bytes_of_attention(values)
    if aggregated:
        row["macs"], row["additions"] = connections.attention(staa, call.inputs)
    return row


def _weighted(call, found, samples, frames):
    """Return the operations of a convolution or Dense layer, for one sample."""
    layer, given, made = watching.inner(call.layer), call.inputs, call.outputs
    per_step = watching.has_steps(call.layer)
    steps = given[0] if per_step else 1
    size = given[1:-1] if per_step else given[:-1]
    reach = connections.fan_out(layer, size)
    dense, binary = int(reach.sum()) * given[-1], bool(found["binary"])
    # Time steps of an image repeat it, those of frames do not.
    passes = min(steps, frames)
    row = {"kind": "weights", "steps": steps, "input": "binary" if binary else "real"}
    row["relu_macs"] = dense * passes
    row["bytes"], row["relu_bytes"] = energy.bytes_of_weights(
        layer.count_params(),
        math.prod(given) // steps,
        math.prod(made) // steps,
        steps,
        passes,
        binary,
    )
    if binary:
        each = (found["sums"] * reach).reshape(len(found["sums"]), -1).sum(axis=1)
        row["sops"], row["sops_by_step"] = float(each.sum() / samples), tuple(each / samples)
    else:
        row["macs"] = dense * steps
    return row


def _stages(model):
    """Return the stage of each layer of a network that has stages."""
    ends = {_keras.made_by(t).name: n for n, t in getattr(model, "stage_outputs", {}).items()}
    found, waiting = {}, []
    for layer in model.layers:
        waiting.append(layer.name)
        if layer.name in ends:
            found |= dict.fromkeys(waiting, ends[layer.name])
            waiting = []
    return found | dict.fromkeys(waiting, "head") if found else {}


def _skipped(model, called):
    """Return the names of layers with a kernel whose operations are not counted."""
    counted = {id(inner) for layer in called for inner in _keras.all_layers(layer)}
    return tuple(
        layer.name
        for layer in _keras.all_layers(model)
        if id(layer) not in counted
        and any(w.name in ("kernel", "depthwise_kernel") for w in layer.weights)
        and not any(inner is not layer for inner in _keras.all_layers(layer))
    )
