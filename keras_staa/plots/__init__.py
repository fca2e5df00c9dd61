"""Pictures of what happens in a network, drawn by matplotlib.

Each function returns a `matplotlib.figure.Figure`, draws into `ax` if it is given one, and writes a
file if it is given a `path`: PNG, SVG or PDF by its suffix. No window is opened.
"""

from keras_staa.plots.figures import write
from keras_staa.plots.maps import attention, step_gates
from keras_staa.plots.results import accuracy, columns_of, confusion, curves, energy
from keras_staa.plots.spikes import firing_rates, potentials, raster

__all__ = [
    "accuracy",
    "attention",
    "columns_of",
    "confusion",
    "curves",
    "energy",
    "firing_rates",
    "potentials",
    "raster",
    "step_gates",
    "write",
]
