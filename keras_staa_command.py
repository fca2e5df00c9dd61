"""The command `keras-staa`, beside the package and not in it.

`import keras_staa` imports Keras and with it a backend, which takes seconds, and registers the
layers with Keras. A process that has imported this module is the command, whose parts import what
they need, so that the package leaves that out there.
"""


def main():
    """Run the command line; the exit status is returned."""
    from keras_staa import cli

    return cli.main()
