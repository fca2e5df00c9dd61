"""Pictures of attention."""

import numpy as np

from keras_staa.insight import finding
from keras_staa.plots import figures

# So many time steps stand in a row.
COLUMNS = 5


def attention(image, maps, layer=None, sample=0, ax=None, path=None):
    """Draw over an image where an aggregator looks in each time step, or Grad-CAM.

    Args:
        image: array (H, W, C), or frames (T, H, W, C). Values of any range.
        maps: an `insight.AttentionMaps`.
        layer: string, the name of a layer with a global context. Default: Grad-CAM.
        sample: which sample of the batch.
        ax: optional axes of matplotlib to draw into, one for each time step.
        path: optional file to write.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: for a layer without a map, or no Grad-CAM.
    """
    if layer is None:
        if maps.grad_cam is None:
            raise ValueError(
                "`layer` must be a name where there is no Grad-CAM: the model has no classes."
            )
        values, name = maps.grad_cam[sample], "Grad-CAM"
    else:
        with_map = {n: one for n, one in maps.layers.items() if one.attention is not None}
        one = finding.named("layer", layer, with_map, "a layer with a global context")
        values, name = one.attention[sample], layer
    steps = len(values)
    columns = steps if ax is not None else min(steps, COLUMNS)
    rows = -(-steps // columns)
    figure, panels = figures.axes(ax, 1.2 + 2 * columns, 0.4 + 2.2 * rows, columns, rows)
    panels = panels if columns * rows > 1 else [panels]
    for panel in panels[steps:]:
        panel.set_axis_off()
    image = np.asarray(image, "float32")
    top = values.max()
    for step, panel in enumerate(panels[:steps]):
        grey = _grey(image[step % len(image)] if image.ndim == 4 else image)
        height, width = grey.shape
        extent = (0, width, height, 0)
        panel.imshow(grey, cmap="gray", vmin=0, vmax=1, extent=extent)
        shown = panel.imshow(
            values[step],
            cmap="inferno",
            vmin=0,
            vmax=top,
            alpha=0.55,
            extent=extent,
            interpolation="bilinear",
        )
        panel.set_title(f"step {step + 1}", fontsize=9)
        panel.set_xticks([])
        panel.set_yticks([])
    label = "share of the largest" if layer is None else "attention"
    figure.colorbar(shown, ax=panels, label=label, shrink=0.8)
    figure.suptitle(name, fontsize=10)
    return figures.done(figure, path)


def step_gates(maps, ax=None, path=None):
    """Draw the step gates of each layer, the mean over the samples.

    Args:
        maps: an `insight.AttentionMaps`.
        ax, path: as in `attention`.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: if no layer has step gates.
    """
    gates = {n: one.step_gate for n, one in maps.layers.items() if one.step_gate is not None}
    if not gates:
        raise ValueError("`maps` must have a layer with step gates. Received: none")
    values = np.stack([gate.mean(axis=0) for gate in gates.values()])
    steps = values.shape[1]
    figure, panel = figures.axes(ax, 3.5 + 0.5 * steps, 1.2 + 0.3 * len(gates))
    figures.by_step(panel, values, list(gates), "step gate; 1 changes nothing", "{:.2f}")
    return figures.done(figure, path)


def _grey(image):
    """Return an image as (H, W) in [0, 1]."""
    image = image.mean(axis=-1)
    low, high = image.min(), image.max()
    return (image - low) / (high - low) if high > low else np.zeros_like(image)
