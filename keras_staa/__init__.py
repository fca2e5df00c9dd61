"""Spiking neural networks with spatial-temporal attention for Keras 3."""

import sys

__version__ = "0.1.0"

__all__ = [
    "STAAVGG",
    "STAACompact",
    "STAAResNet18",
    "STAAResNet19",
    "STAAResNet20",
    "STAAResNet34",
    "callbacks",
    "data",
    "decode_predictions",
    "exchange",
    "export",
    "fuse",
    "insight",
    "jit_compile",
    "layers",
    "losses",
    "metrics",
    "models",
    "optimizers",
    "plots",
    "preprocess_input",
    "streaming",
    "surrogates",
    "training",
    "zoo",
]


def _is_command():
    """Whether this process is `keras-staa` or `python -m keras_staa`, and no one's program.

    Python says "-m" as long as it looks for the module that it is to run.
    """
    as_module = sys.argv[:1] == ["-m"] and sys.orig_argv[-len(sys.argv)] == __name__
    return as_module or "keras_staa_command" in sys.modules


# Everywhere else all of it, at once: whoever imports the package can load models of its layers.
if not _is_command():
    from keras_staa import backends

    backends.check()

    from keras_staa import (
        callbacks,
        data,
        exchange,
        insight,
        layers,
        losses,
        metrics,
        models,
        optimizers,
        plots,
        streaming,
        surrogates,
        training,
        zoo,
    )
    from keras_staa.exporting.writing import export
    from keras_staa.image_utils import decode_predictions, preprocess_input
    from keras_staa.layers.compilation import jit_compile
    from keras_staa.models import (
        STAAVGG,
        STAACompact,
        STAAResNet18,
        STAAResNet19,
        STAAResNet20,
        STAAResNet34,
        fuse,
    )
