"""The figures of a page, as pictures inside of it."""

import base64
import dataclasses
import io

import numpy as np

from keras_staa import plots
from keras_staa.plots import figures

# Dots an inch: of charts, and of rows of many small pictures.
SHARP, SMALL = 120, 90


@dataclasses.dataclass(frozen=True)
class Figure:
    """A figure of a page.

    Attributes:
        source: string, the address of the picture, with the picture in it.
        alt: string, what it shows, for those who do not see it.
        caption: string.
        wide: whether it keeps its width on a small screen, where it is scrolled.
    """

    source: str
    alt: str
    caption: str
    wide: bool = False


def figure(drawn, alt, caption, wide=False, resolution=SHARP):
    """Return a `Figure` of a `matplotlib.figure.Figure`."""
    picture = io.BytesIO()
    drawn.savefig(picture, format="png", dpi=resolution)
    text = base64.b64encode(_smaller(picture.getvalue())).decode()
    return Figure(f"data:image/png;base64,{text}", alt, caption, wide)


def _smaller(png):
    """Return a PNG in 256 colors."""
    from PIL import Image

    picture = Image.open(io.BytesIO(png)).convert("RGB")
    out = io.BytesIO()
    picture.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(
        out, "PNG", optimize=True
    )
    return out.getvalue()


def energy(found):
    report = found.report
    alt = (
        f"Bar chart: {report.energy:.4f} millijoules for the spiking network and "
        f"{report.relu_energy:.4f} for the ReLU network."
    )
    caption = "Energy of a sample, beside that of the ReLU network of the same layers."
    return figure(plots.energy(report), alt, caption)


def firing_rates(found):
    layers = [layer for layer in found.report.layers if layer.neurons]
    low, high = (f(layers, key=lambda layer: layer.firing_rate) for f in (min, max))
    alt = (
        f"Heat map of the firing rates by layer and time step: on average from "
        f"{low.firing_rate:.1%} in {low.name} to {high.firing_rate:.1%} in {high.name}."
    )
    drawn = plots.firing_rates(found.report)
    return figure(drawn, alt, "Firing rate of each layer in each time step.")


def inputs(found):
    """Draw the samples that are shown, with the predicted class and its probability."""
    names, count = found.preset.class_names, len(found.inputs)
    drawn, panels = figures.axes(None, 2.2 * count, 2.7, columns=count)
    told = []
    for i, panel in enumerate([panels] if count == 1 else panels):
        best = int(found.probabilities[i].argmax())
        title = f"{names[best]}, {found.probabilities[i, best]:.2f}"
        if found.labels is not None:
            right = int(found.labels[i]) == best
            title += "\nright" if right else f"\nis {names[int(found.labels[i])]}"
        panel.imshow(_shown(found.inputs[i]), cmap="gray", interpolation="nearest")
        panel.set_title(title, fontsize=9)
        panel.set_xticks([])
        panel.set_yticks([])
        told.append(title.replace("\n", ", "))
    caption = "Samples, with the predicted class and its probability."
    return figure(drawn, "Samples and predictions: " + "; ".join(told) + ".", caption, wide=True)


def attention(found):
    """Where the last aggregator with a map of several places looks, and Grad-CAM."""
    made, maps = [], found.maps
    with_map = [n for n, one in maps.layers.items() if one.attention is not None]
    for i, x in enumerate(found.inputs[:2]):
        steps = len(maps.grad_cam[i])
        if with_map:
            name = max(with_map, key=lambda n: (maps.layers[n].attention.shape[2] >= 4, n))
            alt = f"Sample {i + 1} under the attention of layer {name} in {steps} time steps."
            caption = f"Sample {i + 1}: attention of the global context in layer {name}."
            drawn = plots.attention(x, maps, name, i)
            made.append(figure(drawn, alt, caption, wide=steps > 2, resolution=SMALL))
        best = found.preset.class_names[int(maps.classes[i])]
        alt = f"Sample {i + 1} with Grad-CAM for the class {best} over it in {steps} time steps."
        caption = f"Sample {i + 1}: Grad-CAM, what speaks for the class {best}."
        drawn = plots.attention(x, maps, sample=i)
        made.append(figure(drawn, alt, caption, wide=steps > 2, resolution=SMALL))
    if found.preset.steps > 1 and any(o.step_gate is not None for o in maps.layers.values()):
        alt = "Heat map of the step gates by layer and time step."
        caption = "Step gates of each layer, the mean over the samples that are shown."
        made.append(figure(plots.step_gates(maps), alt, caption))
    return made


def steps(found):
    made = []
    if found.accuracy_by_step is not None:
        accuracy, against = found.accuracy_by_step, range(1, len(found.accuracy_by_step) + 1)
        told = ", ".join(f"{value:.1%}" for value in accuracy)
        alt = f"Line chart of the accuracy after each time step: {told}."
        made.append(figure(plots.accuracy(accuracy, against), alt, "Accuracy by time step."))
        energies = found.report.energy_by_step
        drawn = plots.accuracy(accuracy, energies, "energy of a sample, mJ")
        alt = f"Line chart of the accuracy against energy, up to {energies[-1]:.4f} millijoules."
        made.append(figure(drawn, alt, "Accuracy against energy, a point for each time step."))
    drawn, panel = figures.axes(None, 6, 4)
    times = np.arange(1, len(found.by_step) + 1)
    for i, values in enumerate(found.by_step.T):
        best = found.preset.class_names[int(found.probabilities[i].argmax())]
        label = f"sample {i + 1}: {best}"
        panel.plot(times, values, marker="o", label=label, **figures.line(i))
    panel.set(xlabel="time step", ylabel="probability", ylim=(0, 1.03))
    figures.whole_numbers(panel)
    panel.legend(fontsize=8)
    alt = "Line chart of the probability of the predicted class of each sample by time step."
    made.append(figure(drawn, alt, "Probability of the predicted class, by the steps so far."))
    return made


def potentials(found):
    alt = f"Line chart of membrane potentials of four neurons of layer {found.trace.layer}."
    caption = "Membrane potentials for sample 1. A neuron fires at the threshold."
    return figure(plots.potentials(found.trace), alt, caption)


def confusion(found):
    wrong = int((found.evaluation.labels != found.evaluation.guesses).sum())
    alt = (
        f"Table of classes and predicted classes: {wrong} of {found.evaluation.samples} are wrong."
    )
    drawn = plots.confusion(found.evaluation.confusion, found.evaluation.class_names)
    return figure(drawn, alt, "Classes (rows) and what they are taken for (columns).", wide=True)


def training(found):
    kept = {
        n: v for n, v in found.history.items() if n.removeprefix("val_") in ("loss", "accuracy")
    }
    if not kept:
        return []
    last = {n: next((x for x in reversed(v) if x is not None), None) for n, v in kept.items()}
    told = ", ".join(f"{n} {x:.3f}" for n, x in last.items() if x is not None)
    alt = f"Line charts of the training by epoch; in the last epoch: {told}."
    return [figure(plots.curves(kept), alt, "Loss and accuracy by epoch of the training.")]


def gallery(every):
    """Energy and accuracy of all networks."""
    made = plots.energy({found.preset.name: found.report for found in every})
    told = "; ".join(f"{f.preset.name}: {f.report.ratio:.2f} of ReLU" for f in every)
    energies = figure(made, f"Bar chart of the energy. {told}.", "Energy of a sample.", wide=True)
    drawn, panel = figures.axes(None, 6.5, 4)
    for i, found in enumerate(every):
        if found.preset.accuracy:
            style = {
                "marker": "os^Dv<>p"[i % 8],
                "linestyle": "",
                "color": figures.line(i)["color"],
            }
            point = found.report.energy, 100 * found.preset.accuracy.value
            panel.plot(*point, label=found.preset.name, markersize=8, **style)
    panel.set(xlabel="energy of a sample, mJ", ylabel="stated accuracy, %")
    panel.grid(color="0.9")
    if panel.lines:
        panel.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    caption = "Accuracy against energy. The data sets differ: compare networks of the same one."
    alt = "Accuracy of each network against its energy; the table has the numbers."
    return [energies, figure(drawn, alt, caption, wide=True)]


def _shown(x):
    """Return a sample as a picture: for frames the first one, OFF as red and ON as blue."""
    x = np.asarray(x, "float32")
    if x.ndim == 4:
        counts = np.sqrt(x.mean(axis=0))
        counts = counts / max(counts.max(), 1e-6)
        if x.shape[-1] != 2:
            return counts.mean(axis=-1)
        off, on = counts[..., 0], counts[..., 1]
        return np.clip(np.stack([1 - on, 1 - (on + off) / 2, 1 - off], axis=-1), 0, 1)
    low, high = x.min(), x.max()
    x = x if low >= 0 and high <= 1 else (x - low) / max(high - low, 1e-6)
    return x[..., 0] if x.shape[-1] == 1 else x
