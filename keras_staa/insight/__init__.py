"""See inside of a network: firing rates, operations, energy, attention and potentials."""

from keras_staa.insight.attention import AttentionMaps, LayerAttention, attention_maps
from keras_staa.insight.reporting import report
from keras_staa.insight.results import LayerReport, Report
from keras_staa.insight.stepwise import StepAccuracy, accuracy_by_step
from keras_staa.insight.tracing import Trace, trace

__all__ = [
    "AttentionMaps",
    "LayerAttention",
    "LayerReport",
    "Report",
    "StepAccuracy",
    "Trace",
    "accuracy_by_step",
    "attention_maps",
    "report",
    "trace",
]
