"""What `report` returns."""

import dataclasses
import io
import itertools
import json

from keras_staa.insight.energy import Costs

SUMS = (
    *("parameters", "neurons", "sops", "macs", "additions", "relu_macs"),
    *("bytes", "relu_bytes", "energy", "relu_energy"),
)
MEANS = ("firing_rate", "silent", "saturated")


@dataclasses.dataclass(frozen=True)
class LayerReport:
    """What one layer does for one sample, on average.

    Attributes:
        name: string, of the layer.
        kind: `"weights"`, `"neurons"` or `"attention"`. Neurons with an aggregator are neurons.
        stage: string, the stage of the network, or None where it has none.
        parameters: number of weights.
        steps: how often it runs: the time steps, or 1.
        input: of a layer with weights, `"binary"` if all inputs were 0 or 1, else `"real"`.
        neurons: number of neurons.
        firing_rate: spikes of a neuron in a time step, in [0, 1], or None where there is none.
        rates: the same of each time step, a tuple.
        silent: share of the neurons that never fired.
        saturated: share of the neurons that fired in every step of every sample.
        sops: synaptic operations, additions for spikes.
        sops_by_step: the same of each time step, a tuple, or empty where there are none.
        macs: multiplications and additions.
        additions: further additions, of an aggregator.
        relu_macs: multiplications and additions of the ReLU network.
        bytes, relu_bytes: what is read and written, and by the ReLU network.
        energy, relu_energy: in millijoules.
    """

    name: str
    kind: str
    stage: str | None = None
    parameters: int = 0
    steps: int = 1
    input: str | None = None
    neurons: int = 0
    firing_rate: float | None = None
    rates: tuple = ()
    silent: float | None = None
    saturated: float | None = None
    sops: float = 0.0
    sops_by_step: tuple = ()
    macs: float = 0.0
    additions: float = 0.0
    relu_macs: float = 0.0
    bytes: float = 0.0
    relu_bytes: float = 0.0
    energy: float = 0.0
    relu_energy: float = 0.0


@dataclasses.dataclass(frozen=True)
class Report:
    """What a network does for one sample, on average over the samples.

    Attributes:
        name: string, of the model.
        samples: number of samples.
        steps: time steps.
        layers: tuple of `LayerReport`, in the order in which they run.
        costs: what operations were taken to cost.
        uncounted: names of layers with a kernel whose operations are not known.

    Attributes of a `LayerReport` that are sums, such as `sops` and `energy`, are attributes of the
    report too, over all layers.
    """

    name: str
    samples: int
    steps: int
    layers: tuple
    costs: Costs
    uncounted: tuple = ()

    def __getattr__(self, name):
        if name in SUMS:
            return sum(getattr(layer, name) for layer in self.layers)
        raise AttributeError(f"'Report' object has no attribute {name!r}")

    @property
    def firing_rate(self):
        """Spikes of a neuron in a time step, on average over all neurons."""
        return mean(self.layers, "firing_rate")

    @property
    def silent(self):
        """Share of all neurons that never fired."""
        return mean(self.layers, "silent")

    @property
    def saturated(self):
        """Share of all neurons that fired in every step of every sample."""
        return mean(self.layers, "saturated")

    @property
    def ratio(self):
        """The energy over that of the ReLU network."""
        return self.energy / self.relu_energy

    @property
    def energy_by_step(self):
        """Millijoules up to each time step, a tuple. Layers without time steps are in all of it."""
        once = sum(layer.energy for layer in self.layers if layer.steps != self.steps)
        spent = [once] + [0.0] * (self.steps - 1)
        for layer in self.layers:
            if layer.steps != self.steps:
                continue
            by_spikes = [self.costs.additions(n) for n in layer.sops_by_step] or [0.0] * self.steps
            rest = (layer.energy - sum(by_spikes)) / self.steps
            spent = [a + b + rest for a, b in zip(spent, by_spikes, strict=True)]
        return tuple(itertools.accumulate(spent))

    def stages(self):
        """Return a `LayerReport` for each stage, in order, or an empty list without stages."""
        names = [layer.stage for layer in self.layers if layer.stage is not None]
        return [
            _together(name, [layer for layer in self.layers if layer.stage == name])
            for name in dict.fromkeys(names)
        ]

    def to_dict(self):
        """Return everything as a dictionary of what JSON has."""
        found = dataclasses.asdict(self)
        return {**found, **{name: getattr(self, name) for name in (*SUMS, *MEANS, "ratio")}}

    def to_json(self, **kwargs):
        """Return the same as JSON text; arguments go to `json.dumps`."""
        return json.dumps(self.to_dict(), **kwargs)

    def to_dataframe(self):
        """Return the layers as the rows of a `pandas.DataFrame`."""
        import pandas

        return pandas.DataFrame([dataclasses.asdict(layer) for layer in self.layers])

    def __str__(self):
        from rich.console import Console

        out = io.StringIO()
        Console(file=out, width=120, markup=False).print(self)
        return out.getvalue()

    def __rich__(self):
        from rich.console import Group

        from keras_staa.insight import tables

        return Group(tables.of_layers(self), tables.summary(self))


def mean(layers, name):
    """Return the mean of an attribute over all neurons of layers, or None where there are none."""
    found = [layer for layer in layers if layer.neurons]
    if not found:
        return None
    total = sum(getattr(layer, name) * layer.neurons for layer in found)
    return total / sum(layer.neurons for layer in found)


def _together(name, layers):
    """Return the report of several layers as that of one."""
    means = {key: mean(layers, key) for key in MEANS}
    sums = {key: sum(getattr(layer, key) for layer in layers) for key in SUMS}
    steps = max(layer.steps for layer in layers)
    return LayerReport(name, "stage", name, steps=steps, **sums, **means)
