"""Pictures of spikes, potentials and firing rates."""

import numpy as np

from keras_staa.plots import figures


def raster(spikes, sample=0, ax=None, path=None):
    """Draw which neurons fire in which time step.

    Args:
        spikes: an `insight.Trace`, or an array (B, T, ...) of spikes.
        sample: which sample of the batch.
        ax: optional axes of matplotlib to draw into.
        path: optional file to write.

    Returns:
        A `matplotlib.figure.Figure`.

    Example:

    >>> figure = raster(np.random.default_rng(0).integers(0, 2, (1, 8, 20)))
    >>> figure.axes[0].get_xlabel()
    'time step'
    """
    values = np.asarray(getattr(spikes, "spikes", spikes))[sample]
    values = values.reshape(len(values), -1)
    steps, neurons = values.shape
    figure, panel = figures.axes(ax, 6, 1.5 + min(0.15 * neurons, 6))
    fired = [np.flatnonzero(values[:, i]) for i in range(neurons)]
    panel.eventplot(fired, colors="black", linelengths=0.8, linewidths=1.5)
    panel.set(xlim=(-0.5, steps - 0.5), ylim=(neurons - 0.5, -0.5), ylabel="neuron")
    figures.steps_axis(panel, steps)
    panel.set_title(f"{values.mean():.1%} of the steps have a spike", fontsize=10)
    return figures.done(figure, path)


def potentials(trace, sample=0, ax=None, path=None):
    """Draw the membrane potentials of neurons, the threshold, and their spikes as dots.

    Args:
        trace: an `insight.Trace`.
        sample, ax, path: as in `raster`.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    values, spikes = trace.potential[sample], trace.spikes[sample]
    steps = np.arange(len(values))
    figure, panel = figures.axes(ax, 7, 4)
    for i, place in enumerate(trace.neurons):
        style = figures.line(i)
        panel.plot(steps, values[:, i], label=f"{place}", marker=".", markersize=3, **style)
        fired = np.flatnonzero(spikes[:, i])
        panel.plot(fired, values[fired, i], "o", color=style["color"], markersize=7)
    panel.axhline(trace.threshold, color="0.3", linewidth=1, linestyle="--", label="threshold")
    panel.set(ylabel="membrane potential", title=f"{trace.layer}: dots are spikes")
    figures.steps_axis(panel, len(values))
    panel.legend(title="neuron", fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return figures.done(figure, path)


def firing_rates(report, ax=None, path=None):
    """Draw the firing rate of each layer in each time step.

    Args:
        report: an `insight.Report`.
        ax, path: as in `raster`.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    layers = [layer for layer in report.layers if layer.neurons]
    steps = max(layer.steps for layer in layers)
    values = np.full((len(layers), steps), np.nan)
    for row, layer in zip(values, layers, strict=True):
        row[: layer.steps] = layer.rates
    figure, panel = figures.axes(ax, 3.5 + 0.5 * steps, 1.2 + 0.3 * len(layers))
    names = [layer.name for layer in layers]
    figures.by_step(panel, 100 * values, names, "firing rate, %", "{:.0f}", lowest=0)
    panel.set_title(report.name, fontsize=10)
    return figures.done(figure, path)
