"""`keras-staa verify`: measure again what a preset states."""

HELP = "Measure the accuracy that a trained network states again."


def add_arguments(parser):
    parser.add_argument("model", nargs="+", help="names, aliases, folders or addresses of presets")
    parser.add_argument("--data", metavar="SOURCE", help="where the data set is; default: its name")
    parser.add_argument("--data-dir", help="folder with the data sets")
    parser.add_argument("--cache-dir", help="folder for cached frames of event recordings")
    parser.add_argument("--backend", choices=["tensorflow", "jax", "torch"])
    parser.add_argument("--batch-size", type=int, default=128)


def run(args):
    from keras_staa.cli import backend

    backend.choose(args.backend)
    from keras_staa import zoo
    from keras_staa.cli import evaluate

    status = 0
    for model in args.model:
        found = zoo.verify(model, args.data, **evaluate.places(args))
        print(
            f"{found.name}: states {found.stated:.2%}, measured {found.measured:.2%} of "
            f"{found.samples} samples: {'as stated' if found.agrees else 'NOT as stated'}"
        )
        status = status if found.agrees else 1
    return status
