"""The command line: `keras-staa COMMAND` or `python -m keras_staa COMMAND`.

A command is a module here with `HELP`, `add_arguments(parser)` and `run(args)`, which returns the
exit status or None, and an entry in `COMMANDS`. It imports Keras only where it runs a network.
"""

import argparse
import sys

import keras_staa
from keras_staa.cli import describe, evaluate, export, list_models, predict, report, train, verify

COMMANDS = {
    "list": list_models,
    "describe": describe,
    "predict": predict,
    "evaluate": evaluate,
    "verify": verify,
    "report": report,
    "export": export,
    "train": train,
}


def main(argv=None):
    """Run the command line.

    Args:
        argv: list of strings, by default those of the process.

    Returns:
        The exit status: 0, or 1 after an error, which is printed in one line.
    """
    parser = argparse.ArgumentParser("keras-staa", description="Spiking networks for Keras.")
    version = f"keras-staa {keras_staa.__version__}"
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in COMMANDS.items():
        command = commands.add_parser(name, help=module.HELP, description=module.HELP)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    args = parser.parse_args(argv)
    try:
        return args.run(args) or 0
    except (ValueError, OSError, ImportError, FloatingPointError) as error:
        print(f"keras-staa {args.command}:", *str(error).split(), file=sys.stderr)
        return 1
