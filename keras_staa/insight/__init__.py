"""See inside of a network: firing rates, operations and energy."""

from keras_staa.insight.reporting import LayerReport, Report, report

__all__ = ["LayerReport", "Report", "report"]
