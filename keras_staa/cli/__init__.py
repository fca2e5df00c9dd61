"""The command line: `keras-staa COMMAND` or `python -m keras_staa COMMAND`.

A command is a module here with `HELP`, `add_arguments(parser)` and `run(args)`, and an entry in
`COMMANDS`.
"""

import argparse
import sys

from keras_staa.cli import describe, list_models, predict

COMMANDS = {"list": list_models, "describe": describe, "predict": predict}


def main(argv=None):
    """Run the command line.

    Args:
        argv: list of strings, by default those of the process.

    Returns:
        The exit status: 0, or 1 after an error, which is printed in one line.
    """
    parser = argparse.ArgumentParser("keras-staa", description="Spiking networks for Keras.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in COMMANDS.items():
        command = commands.add_parser(name, help=module.HELP, description=module.HELP)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    args = parser.parse_args(argv)
    try:
        args.run(args)
    except (ValueError, OSError, ImportError) as error:
        print(f"keras-staa {args.command}:", *str(error).split(), file=sys.stderr)
        return 1
    return 0
